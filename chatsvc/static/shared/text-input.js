// @ts-check
/** Behavior of the inputs of widget and dashboard. */

export const MAX_CHARACTERS = 10_000;

/**
 * Remove empty lines at the start and white space at the end; the first line stays indented.
 * @param {string} text
 */
export function trimmed(text) {
  return text.replace(/^\s*\n/, "").trimEnd();
}

/** Return the number of code points, which the server counts. @param {string} text */
export function characters(text) {
  return [...text].length;
}

/**
 * Return whether this key sends: Enter, also with Ctrl or Cmd, but not in an input method.
 * @param {KeyboardEvent} event
 */
export function sends(event) {
  // Safari ends the composition before this event
  const composing = event.isComposing || event.keyCode === 229;
  return event.key === "Enter" && !event.shiftKey && !composing;
}

/**
 * Make the input as high as its text. The style sheet limits the height.
 * @param {HTMLTextAreaElement} input
 */
export function grow(input) {
  input.style.blockSize = "auto";
  if (input.scrollHeight) input.style.blockSize = `${input.scrollHeight + 2}px`; // 2 px of borders
}
