// @ts-check
/** What the widget's input and the dashboard's have in common. */

export const MAX_CHARACTERS = 10_000;

/** @param {string} text @returns {number} as the server counts: code points */
export function characters(text) {
  return [...text].length;
}

/** Enter, with Ctrl or Cmd or without; not while an input method takes it. @param {KeyboardEvent} event */
export function sends(event) {
  const composing = event.isComposing || event.keyCode === 229; // Safari ends the composition before this event
  return event.key === "Enter" && !event.shiftKey && !composing;
}

/** As high as its text; the style sheet says how high at most. @param {HTMLTextAreaElement} input */
export function grow(input) {
  input.style.blockSize = "auto";
  if (input.scrollHeight) input.style.blockSize = `${input.scrollHeight + 2}px`; // 2 px: its borders
}
