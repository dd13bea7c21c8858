// @ts-check
/** Switches for this browser's settings: checkboxes, and buttons in the header. */
import { h, icon } from "../shared/dom.js";
import { MUTED, SOUND } from "../shared/sound.js";
import { choose, isOn, whenChosen } from "./settings.js";
import { text } from "./texts.js";

/** @typedef {import("./settings.js").Setting} Setting */

const BELL =
  "M12 2.5a1.6 1.6 0 0 0-1.6 1.6v.5A6 6 0 0 0 6 10.4v4.2L4.2 17v1h15.6v-1L18 14.6v-4.2a6 6 0 0 0-4.4-5.8v-.5A1.6 1.6 0 0 0 12 2.5zM9.8 19.2a2.2 2.2 0 0 0 4.4 0z";
const BELL_OFF =
  "M4.3 3.2 3.1 4.4l3.7 3.7a6 6 0 0 0-.8 2.9v3.6L4.2 17v1h12.5l2.9 2.9 1.2-1.2zM12 2.5a1.6 1.6 0 0 0-1.6 1.6v.5c-.7.2-1.4.5-2 .9L18 15.1v-4.7a6 6 0 0 0-4.4-5.8v-.5A1.6 1.6 0 0 0 12 2.5zM9.8 19.2a2.2 2.2 0 0 0 4.4 0z";
/** @type {Record<string, [string, string]>} on, off */
const ICONS = { sound: [SOUND, MUTED], notifications: [BELL, BELL_OFF] };

/**
 * Create a checkbox with a label and a hint, which says why it cannot be switched on.
 * @param {Setting} setting
 */
export function settingSwitch(setting) {
  const hint = `hint-${setting}-${document.querySelectorAll(".switch").length}`;
  const box = h("input", { type: "checkbox", "aria-describedby": hint });
  const description = h(
    "span",
    { id: hint, class: "muted small", role: "status" },
    text(`setting_${setting}_hint`),
  );
  box.addEventListener("change", async () => {
    const granted = await choose(setting, box.checked);
    description.textContent = granted
      ? text(`setting_${setting}_hint`)
      : text("notifications_blocked");
  });
  whenChosen(() => {
    box.checked = isOn(setting);
  });
  return h(
    "div",
    { class: "switch" },
    h("label", {}, box, text(`setting_${setting}`)),
    description,
  );
}

/**
 * Create a toggle button.
 * @param {"sound" | "notifications"} setting
 * @param {(problem: string) => void} explain shows why it failed
 */
export function settingButton(setting, explain) {
  const button = h("button", {
    type: "button",
    class: "icon",
    "aria-label": text(`setting_${setting}`),
    title: text(`setting_${setting}`),
  });
  button.addEventListener("click", async () => {
    const granted = await choose(setting, !isOn(setting));
    explain(granted ? "" : text("notifications_blocked"));
  });
  whenChosen(() => {
    button.setAttribute("aria-pressed", String(isOn(setting)));
    button.replaceChildren(icon(ICONS[setting][isOn(setting) ? 0 : 1]));
  });
  return button;
}
