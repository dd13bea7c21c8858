// @ts-check
/** Single keys, for those who want them: outside text fields, without modifiers, and only while they are switched on (WCAG 2.1.4). */
import { isOn } from "./settings.js";

const TEXT =
  "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select, [contenteditable]";

/** @param {Record<string, () => void>} actions by the key's character */
export function shortcuts(actions) {
  document.addEventListener("keydown", (event) => {
    const action = actions[event.key];
    if (!action || !meant(event) || !isOn("shortcuts")) return;
    event.preventDefault();
    action();
  });
}

/** AltGr makes characters on many keyboards. Shift may: "?" and "/" need it on some. @param {KeyboardEvent} event */
function meant(event) {
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
