// @ts-check
/** Times in the reader's time zone. Relative times are updated. */
import { clockFormat, locale } from "../shared/clock.js";
import { dayNames } from "../shared/days.js";
import { text } from "./texts.js";

const REFRESH_MS = 20_000; // "1 minute ago" is at most a third of a minute late
/** @type {[Intl.RelativeTimeFormatUnit, number][]} seconds in each unit */
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];
const LANGUAGE = document.documentElement.lang || "en";
const LOCALE = locale(LANGUAGE);
const clock = clockFormat(LANGUAGE);
export const dayName = dayNames(LANGUAGE);
const whole = new Intl.DateTimeFormat(LOCALE, { dateStyle: "full", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: "auto" });

/** Return text such as "2 minutes ago". @param {Date} at @param {Date} [now] */
export function ago(at, now = new Date()) {
  // clocks differ: never in the future
  const seconds = Math.min(0, (at.getTime() - now.getTime()) / 1000);
  const [unit, length] = UNITS.find(([, length]) => -seconds >= length) ?? ["second", 1];
  return unit === "second" ? text("just_now") : relative.format(Math.ceil(seconds / length), unit);
}

/** Return text such as "2 minutes". @param {number} ms */
export function age(ms) {
  const [unit, length] = UNITS.find(([unit, length]) => unit !== "week" && ms >= length * 1000) ?? [
    "second",
    0,
  ];
  if (unit === "second") return text("moment");
  return new Intl.NumberFormat(LANGUAGE, { style: "unit", unit, unitDisplay: "long" }).format(
    Math.floor(ms / length / 1000),
  );
}

/** Replace the server's times in UTC. @param {ParentNode} root */
export function localise(root) {
  for (const time of root.querySelectorAll("time[data-clock], time[data-relative]")) {
    const at = new Date(time.getAttribute("datetime") ?? "");
    const title = whole.format(at);
    if (time.getAttribute("title") !== title) time.setAttribute("title", title);
    const shown = time.hasAttribute("data-relative") ? ago(at) : clock.format(at);
    if (time.textContent !== shown) time.textContent = shown;
  }
}

export function keepTimesRight() {
  localise(document);
  setInterval(() => localise(document), REFRESH_MS);
}
