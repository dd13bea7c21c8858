// Where streams do not come through, messages do: by asking every five seconds, until a stream comes through again.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FIRST_BYTE_LIMIT_MS } from "../../../chatsvc/static/shared/limits.js";
import { STREAM_AGAIN_MS } from "../../../chatsvc/static/widget/event-stream.js";
import { POLL_EVERY_MS } from "../../../chatsvc/static/widget/polling-fallback.js";
import { setUp } from "./stream-in-hand.mjs";

const OFFLINE = new TypeError("no network");
const turn = () => new Promise((resolve) => setImmediate(resolve));
const answering = () => {
  const poll = async () => {
    poll.asked += 1;
    if (poll.fails) throw OFFLINE;
  };
  return Object.assign(poll, { asked: 0, fails: false });
};

test("two failures in a row are followed by polling, a stream that comes through ends it", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const poll = answering();
  const { stream, seen, connections, until } = setUp(context, [OFFLINE, OFFLINE], { poll });
  stream.start();
  await until(() => seen.cursors.length === 1);
  assert.equal(poll.asked, 0);
  await turn();
  context.mock.timers.tick(0); // the pause after the first failure
  await until(() => seen.statuses.at(-1) === "polling");
  assert.equal(poll.asked, 1);
  for (const asked of [2, 3]) {
    context.mock.timers.tick(POLL_EVERY_MS);
    await until(() => poll.asked === asked);
    await turn();
  }
  assert.equal(connections.length, 0);
  for (let waited = 2 * POLL_EVERY_MS; waited < STREAM_AGAIN_MS; waited += POLL_EVERY_MS) {
    context.mock.timers.tick(POLL_EVERY_MS);
    await turn();
    await turn();
  }
  await until(() => connections.length === 1);
  assert.equal(seen.statuses.at(-1), "polling");
  connections[0].send('data: {"type": "state"}\n\n');
  await until(() => seen.statuses.at(-1) === "live");
  const { asked } = poll;
  context.mock.timers.tick(POLL_EVERY_MS);
  await turn();
  assert.equal(poll.asked, asked);
});

test("a stream that is held back is followed by polling at once", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const poll = answering();
  const { stream, seen, connections, until } = setUp(context, [], { poll });
  stream.start();
  await until(() => connections.length === 1);
  context.mock.timers.tick(FIRST_BYTE_LIMIT_MS);
  await until(() => seen.statuses.at(-1) === "polling");
  assert.equal(poll.asked, 1);
});

test("a server that answers nothing at all is not polled: the stream is tried with growing pauses", async (context) => {
  const poll = Object.assign(answering(), { fails: true });
  const { stream, seen, connections, until } = setUp(context, [OFFLINE, OFFLINE, OFFLINE], {
    poll,
  });
  stream.start();
  await until(() => connections.length === 1);
  assert.equal(poll.asked, 2);
  assert.ok(!seen.statuses.includes("polling"));
  assert.equal(seen.pauses.length, 3);
});

test("polling that loses its answers gives way to the stream at once", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const poll = answering();
  const { stream, seen, connections, until } = setUp(context, [OFFLINE, OFFLINE], { poll });
  stream.start();
  await until(() => seen.cursors.length === 1);
  await turn();
  context.mock.timers.tick(0);
  await until(() => seen.statuses.at(-1) === "polling");
  poll.fails = true;
  context.mock.timers.tick(POLL_EVERY_MS);
  await until(() => connections.length === 1);
  assert.equal(seen.statuses.at(-1), "connecting");
});
