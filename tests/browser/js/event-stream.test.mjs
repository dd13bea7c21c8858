// The stream keeps itself alive: it resumes from its cursor, obeys the server's goodbye, and does not trust silence.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../../chatsvc/static/widget/backoff.js";
import { HttpError } from "../../../chatsvc/static/widget/chat-client.js";
import { EventStream, SILENCE_LIMIT_MS } from "../../../chatsvc/static/widget/event-stream.js";

/** A server whose connections the test holds in its hands, and a stream that reads from it without pausing. */
function setUp(refusals = []) {
  const seen = { cursors: [], events: [], statuses: [], pauses: [] };
  const connections = [];
  let cursor = 0;
  let opened = () => {};
  const backoff = new Backoff();
  backoff.next = (least) => { seen.pauses.push(least); return 0; };
  const stream = new EventStream({
    open: async (at, signal) => {
      seen.cursors.push(at);
      if (refusals.length) throw refusals.shift();
      let controller;
      const body = new ReadableStream({ start: (it) => { controller = it; } });
      signal.addEventListener("abort", () => { try { controller.error(new Error("aborted")); } catch { /* it has ended */ } });
      connections.push({ send: (text) => controller.enqueue(new TextEncoder().encode(text)), cut: () => controller.close(), signal });
      opened();
      return new Response(body);
    },
    cursor: () => cursor,
    onEvent: (event) => { seen.events.push(event); cursor = event.seq ?? cursor; },
    onStatus: (status) => seen.statuses.push(status),
    backoff,
  });
  const until = async (condition) => { while (!condition()) await new Promise((resolve) => setImmediate(resolve)); };
  return { stream, seen, connections, until };
}

test("resumes from the last seq it has", async () => {
  const { stream, seen, connections, until } = setUp();
  stream.start();
  await until(() => connections.length === 1);
  connections[0].send('data: {"type": "state"}\n\nid: 1\ndata: {"type": "new_message", "seq": 1}\n\nid: 2\ndata: {"type": "new_message", "seq": 2}\n\nid: 3\ndata: {"ty');
  await until(() => seen.events.length === 3);
  connections[0].cut();
  await until(() => connections.length === 2);
  assert.deepEqual(seen.cursors, [0, 2]);
  assert.deepEqual(seen.statuses.slice(0, 3), ["connecting", "live", "connecting"]);
  stream.stop();
});

test("comes back after a goodbye that says so, and stays away after one that says so", async () => {
  const { stream, seen, connections, until } = setUp();
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

test("a heartbeat that knows of newer messages is a reason to ask for them", async () => {
  const { stream, connections, until } = setUp();
  stream.start();
  await until(() => connections.length === 1);
  connections[0].send('event: ping\ndata: {"seq": 0}\n\n');
  connections[0].send('event: ping\ndata: {"seq": 4}\n\n');
  await until(() => connections.length === 2);
  assert.ok(connections[0].signal.aborted);
  stream.stop();
});

test("silence for 2.5 heartbeats is a dead connection, a comment is not silence", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const { stream, connections, until } = setUp();
  stream.start();
  await until(() => connections.length === 1);
  context.mock.timers.tick(SILENCE_LIMIT_MS - 1);
  connections[0].send(": still here\n\n");
  await until(() => true);
  await new Promise((resolve) => setImmediate(resolve));
  context.mock.timers.tick(SILENCE_LIMIT_MS - 1);
  assert.ok(!connections[0].signal.aborted);
  context.mock.timers.tick(1);
  assert.ok(connections[0].signal.aborted);
  stream.stop();
});

test("waits as long as the server asks, and says live only when it is", async () => {
  const { stream, seen, connections, until } = setUp([new HttpError(503, 7000, ""), new TypeError("no network")]);
  stream.start();
  await until(() => connections.length === 1);
  assert.deepEqual(seen.pauses, [7000, 0]);
  assert.ok(!seen.statuses.includes("live"));
  stream.stop();
});
