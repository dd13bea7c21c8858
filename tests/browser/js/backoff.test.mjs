// Pauses grow from 1 s to 30 s, jittered, and never below what the server asked for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../../chatsvc/static/shared/backoff.js";

test("grows to 30 s and starts again after a success", () => {
  const longest = new Backoff(() => 1);
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 7].map(() => longest.next()),
    [1000, 2000, 4000, 8000, 16000, 30000, 30000],
  );
  longest.reset();
  assert.equal(longest.next(), 1000);
});

test("is spread over half of the pause", () => {
  assert.equal(new Backoff(() => 0).next(), 500);
});

test("keeps to what the server asked for", () => {
  assert.equal(new Backoff(() => 0.5).next(20_000), 20_000);
});

test("keeps to no more than five minutes, whoever asks for more", () => {
  // A proxy's page for maintenance may say Retry-After: 2592000. Timers for so long end at once: the browser asked again and again.
  assert.equal(new Backoff(() => 0.5).next(2_592_000_000), 300_000);
});

test("ends a pause when woken", async () => {
  const backoff = new Backoff();
  const paused = backoff.wait(60_000);
  backoff.wake();
  await paused;
});
