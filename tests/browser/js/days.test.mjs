// A divider says which day it is, for a reader who may come back a year later.
import assert from "node:assert/strict";
import { test } from "node:test";

// Node.js 20 has no navigator; browsers always have one.
if (!globalThis.navigator) globalThis.navigator = { languages: ["en-GB", "de-DE"] };
else
  Object.defineProperty(globalThis.navigator, "languages", {
    value: ["en-GB", "de-DE"],
    configurable: true,
  });
const { dayNames, dayOf, everyMidnight } = await import("../../../chatsvc/static/shared/days.js");

const NOW = new Date(2024, 2, 1, 0, 30);

test("today, yesterday over a leap day, this year, and another year with its number", () => {
  // A message of last year stood under "Thursday 29 February" as if it were this year's.
  const name = dayNames("en");
  assert.equal(name(new Date(2024, 2, 1, 0, 1), NOW), "Today");
  assert.equal(name(new Date(2024, 1, 29, 23, 59), NOW), "Yesterday");
  assert.ok(!name(new Date(2024, 1, 28, 12), NOW).includes("2024"));
  assert.ok(name(new Date(2023, 1, 28, 12), NOW).includes("2023"));
  assert.ok(name(new Date(2023, 11, 31, 12), new Date(2024, 0, 2)).includes("2023"));
  assert.equal(name(new Date(2023, 11, 31, 12), new Date(2024, 0, 1)), "Yesterday");
});

test("in the language of the text around", () => {
  const name = dayNames("de");
  assert.equal(name(NOW, NOW), "Heute");
  assert.equal(name(new Date(2024, 1, 29), NOW), "Gestern");
  assert.match(name(new Date(2022, 4, 3), NOW), /Mai 2022/);
});

test("days sort as text", () => {
  assert.equal(dayOf(NOW), "2024-03-01");
});

test("midnight is told each day until it is of no interest", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: NOW });
  const days = [];
  const ended = new AbortController();
  everyMidnight(() => days.push(dayOf(new Date())), ended.signal);
  for (let hour = 0; hour < 49; hour += 1) context.mock.timers.tick(3_600_000);
  assert.equal(days.length, 2);
  ended.abort();
  context.mock.timers.tick(48 * 3_600_000);
  assert.equal(days.length, 2);
});
