// @ts-check
/** What staff have chosen for this browser: notifications, sound, shortcuts. */
import { recall, remember } from "../shared/storage.js";

/** @typedef {"notifications" | "sound" | "shortcuts"} Setting */

/** @type {Record<Setting, boolean>} Notifications are off until a click: browsers block a page for good that asks without one. */
const DEFAULTS = { notifications: false, sound: true, shortcuts: true };
const CHANGED = "settings";

/** @param {Setting} setting where this browser keeps it; what is kept differs from the default */
export function keyOf(setting) {
  return `dashboard:${setting}`;
}

/** @param {Setting} setting */
export function isOn(setting) {
  if (setting === "notifications" && globalThis.Notification?.permission !== "granted")
    return false;
  return (recall(keyOf(setting)) !== null) !== DEFAULTS[setting];
}

/** @param {Setting} setting @param {boolean} on @returns {Promise<boolean>} whether it is as wished: browsers may refuse notifications */
export async function choose(setting, on) {
  const granted =
    !on ||
    setting !== "notifications" ||
    (await globalThis.Notification?.requestPermission()) === "granted";
  if (granted) remember(keyOf(setting), on === DEFAULTS[setting] ? null : on ? "on" : "off");
  window.dispatchEvent(new Event(CHANGED));
  return granted;
}

/** Here or in another tab. @param {() => void} listener called once at first */
export function whenChosen(listener) {
  for (const name of [CHANGED, "storage"]) window.addEventListener(name, listener);
  listener();
}
