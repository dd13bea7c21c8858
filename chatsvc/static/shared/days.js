// @ts-check
/** Days in the reader's time zone: the text of a divider between two days, and midnight. */
import { locale } from "./clock.js";

/** Return the day as YYYY-MM-DD. @param {Date} at */
export function dayOf(at) {
  return [
    at.getFullYear(),
    String(at.getMonth() + 1).padStart(2, "0"),
    String(at.getDate()).padStart(2, "0"),
  ].join("-");
}

/**
 * Return a function that names a day: "Today", "Yesterday", else the date, with the year if it is
 * not this year.
 * @param {string} language of the surrounding text
 * @returns {(at: Date, now?: Date) => string}
 */
export function dayNames(language) {
  const tag = locale(language);
  const relative = new Intl.RelativeTimeFormat(tag, { numeric: "auto" });
  /** @type {Intl.DateTimeFormatOptions} */
  const fields = { weekday: "long", month: "long", day: "numeric" };
  const date = new Intl.DateTimeFormat(tag, fields);
  const dateAndYear = new Intl.DateTimeFormat(tag, { ...fields, year: "numeric" });
  const daysAgo = (/** @type {number} */ days) => capitalize(relative.format(-days, "day"), tag);
  return (at, now = new Date()) => {
    const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
    if (dayOf(at) === dayOf(now)) return daysAgo(0);
    if (dayOf(at) === dayOf(yesterday)) return daysAgo(1);
    return (at.getFullYear() === now.getFullYear() ? date : dateAndYear).format(at);
  };
}

/**
 * Call `action` after each midnight, when "Today" becomes "Yesterday".
 * @param {() => void} action @param {AbortSignal} [signal] stops it
 */
export function everyMidnight(action, signal) {
  const now = new Date();
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1);
  const timer = setTimeout(() => {
    action();
    everyMidnight(action, signal);
  }, midnight.getTime() - now.getTime());
  signal?.addEventListener("abort", () => clearTimeout(timer), { once: true });
}

/** @param {string} text @param {string} tag */
function capitalize(text, tag) {
  const [first, ...rest] = text;
  return first.toLocaleUpperCase(tag) + rest.join("");
}
