// @ts-check
/** Settings of this browser: notifications, sound, shortcuts. */
import { recall, remember } from "../shared/storage.js";

/** @typedef {"notifications" | "sound" | "shortcuts"} Setting */

/**
 * @type {Record<Setting, boolean>} Notifications are off until a click: browsers block pages that
 * ask without one.
 */
const DEFAULTS = { notifications: false, sound: true, shortcuts: true };
const CHANGED = "settings";

/**
 * Return the storage key. Only settings that differ from the default are stored.
 * @param {Setting} setting
 */
export function keyOf(setting) {
  return `dashboard:${setting}`;
}

/** @param {Setting} setting */
export function isOn(setting) {
  if (setting === "notifications" && globalThis.Notification?.permission !== "granted")
    return false;
  return (recall(keyOf(setting)) !== null) !== DEFAULTS[setting];
}

/**
 * @param {Setting} setting
 * @param {boolean} on
 * @returns {Promise<boolean>} false if the browser refuses notifications
 */
export async function choose(setting, on) {
  const granted =
    !on ||
    setting !== "notifications" ||
    (await globalThis.Notification?.requestPermission()) === "granted";
  if (granted) remember(keyOf(setting), on === DEFAULTS[setting] ? null : on ? "on" : "off");
  window.dispatchEvent(new Event(CHANGED));
  return granted;
}

/** Call `listener` now, and after each change in any tab. @param {() => void} listener */
export function whenChosen(listener) {
  for (const name of [CHANGED, "storage"]) window.addEventListener(name, listener);
  listener();
}
