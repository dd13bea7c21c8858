// @ts-check
/**
 * Single-key shortcuts outside text fields, without modifiers, and only while they are switched on
 * (WCAG 2.1.4).
 */
import { isOn } from "./settings.js";

const TEXT =
  "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select, [contenteditable]";

/** @param {Record<string, () => void>} actions by the key's character */
export function shortcuts(actions) {
  document.addEventListener("keydown", (event) => {
    const action = actions[event.key];
    if (!action || !isShortcut(event) || !isOn("shortcuts")) return;
    event.preventDefault();
    action();
  });
}

/**
 * Return whether the key is a shortcut. AltGr types characters; Shift is allowed, because some
 * keyboards need it for "?" and "/".
 * @param {KeyboardEvent} event
 */
function isShortcut(event) {
  const modified =
    event.ctrlKey || event.metaKey || event.altKey || event.getModifierState("AltGraph");
  const typing =
    event.isComposing || (event.target instanceof Element && event.target.closest(TEXT) !== null);
  return (
    !modified &&
    !typing &&
    !event.defaultPrevented &&
    document.querySelector("dialog[open]") === null
  );
}
