// @ts-check
/** The dialog with the keyboard shortcuts and their switch. */
import { h, icon } from "../shared/dom.js";
import { CROSS } from "../shared/icons.js";
import { settingSwitch } from "./switches.js";
import { text } from "./texts.js";

const KEYS = /** @type {const} */ (["j", "k", "Enter", "r", "e", "u", "/", "?"]);
// works in the input, whatever the switch says
const ALWAYS = /** @type {const} */ (["Ctrl+Enter"]);

/** Add the dialog to the page. @returns {() => void} shows it */
export function help() {
  const close = h(
    "button",
    { type: "button", class: "icon", "aria-label": text("close") },
    icon(CROSS),
  );
  const head = h("header", {}, h("h2", { id: "help-title" }, text("keys")), close);
  const rows = [...KEYS, ...ALWAYS].map((key) =>
    h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text(`key_${key}`))),
  );
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    head,
    h("dl", {}, ...rows),
    settingSwitch("shortcuts"),
  );
  close.addEventListener("click", () => dialog.close());
  // the backdrop
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  return () => dialog.showModal();
}
