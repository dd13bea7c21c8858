// The stream keeps itself alive: it resumes from its cursor, obeys the server's goodbye, and does not trust silence.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FIRST_BYTE_LIMIT_MS, SILENCE_LIMIT_MS } from "../../../chatsvc/static/shared/limits.js";
import { HttpError } from "../../../chatsvc/static/widget/chat-client.js";
import { setUp } from "./stream-in-hand.mjs";

test("resumes from the last seq it has", async (context) => {
  const { stream, seen, connections, until } = setUp(context);
  stream.start();
  await until(() => connections.length === 1);
  connections[0].send(
    'data: {"type": "state"}\n\nid: 1\ndata: {"type": "new_message", "seq": 1}\n\nid: 2\ndata: {"type": "new_message", "seq": 2}\n\nid: 3\ndata: {"ty',
  );
  await until(() => seen.events.length === 3);
  connections[0].cut();
  await until(() => connections.length === 2);
  assert.deepEqual(seen.cursors, [0, 2]);
  assert.deepEqual(seen.statuses.slice(0, 3), ["connecting", "live", "connecting"]);
});

test("comes back after a goodbye that says so, and stays away after one that says so", async (context) => {
  const { stream, seen, connections, until } = setUp(context);
  stream.start();
  await until(() => connections.length === 1);
  connections[0].send('event: close\ndata: {"reason": "shutdown", "reconnect": true}\n\n');
  connections[0].cut();
  await until(() => connections.length === 2);
  connections[1].send('event: close\ndata: {"reason": "superseded", "reconnect": false}\n\n');
  connections[1].cut();
  await until(() => seen.statuses.at(-1) === "ended");
  assert.equal(connections.length, 2);
});

test("a heartbeat that knows of newer messages is a reason to ask for them", async (context) => {
  const { stream, connections, until } = setUp(context);
  stream.start();
  await until(() => connections.length === 1);
  connections[0].send('event: ping\ndata: {"seq": 0}\n\n');
  connections[0].send('event: ping\ndata: {"seq": 4}\n\n');
  await until(() => connections.length === 2);
  assert.ok(connections[0].signal.aborted);
});

test("silence for 2.5 heartbeats is a dead connection, a comment is not silence", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { stream, connections, until } = setUp(context);
  stream.start();
  await until(() => connections.length === 1);
  for (const [silence, text] of [
    [FIRST_BYTE_LIMIT_MS - 1, ": here\n\n"],
    [SILENCE_LIMIT_MS - 1, ": still here\n\n"],
  ]) {
    context.mock.timers.tick(silence);
    connections[0].send(text);
    await new Promise((resolve) => setImmediate(resolve));
  }
  context.mock.timers.tick(SILENCE_LIMIT_MS - 1);
  assert.ok(!connections[0].signal.aborted);
  context.mock.timers.tick(1);
  assert.ok(connections[0].signal.aborted);
});

test("after a sleep a silent stream is replaced at once, though its timers slept too", async (context) => {
  // performance.now() stands still with the machine on macOS and Linux: a page that people came back to stayed silent for another 37 s.
  const { stream, seen, connections, until } = setUp(context);
  stream.start();
  await until(() => connections.length === 1);
  stream.wake();
  assert.ok(!connections[0].signal.aborted);
  const woken = Date.now() + SILENCE_LIMIT_MS + 1;
  context.mock.method(Date, "now", () => woken);
  stream.wake();
  assert.ok(connections[0].signal.aborted);
  await until(() => connections.length === 2);
  assert.deepEqual(seen.pauses, []);
});

test("waits as long as the server asks, and says live only when it is", async (context) => {
  const { stream, seen, connections, until } = setUp(context, [
    new HttpError(503, 7000, ""),
    new TypeError("no network"),
  ]);
  stream.start();
  await until(() => connections.length === 1);
  assert.deepEqual(seen.pauses, [7000, 0]);
  assert.ok(!seen.statuses.includes("live"));
});

test("an answer without a byte in the first 10 seconds is held back on its way", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { stream, connections, until } = setUp(context);
  stream.start();
  await until(() => connections.length === 1);
  context.mock.timers.tick(FIRST_BYTE_LIMIT_MS - 1);
  assert.ok(!connections[0].signal.aborted);
  context.mock.timers.tick(1);
  assert.ok(connections[0].signal.aborted);
});

test("a token that is refused is told", async (context) => {
  let refused = 0;
  const { stream, connections, until } = setUp(context, [new HttpError(401, 0, "expired")], {
    onRefused: () => {
      refused += 1;
    },
  });
  stream.start();
  await until(() => connections.length === 1);
  assert.equal(refused, 1);
});
