// A stream under test, and the server that it talks to, in the test's hands.
import assert from "node:assert/strict";
import { Backoff } from "../../../chatsvc/static/shared/backoff.js";
import { EventStream } from "../../../chatsvc/static/widget/event-stream.js";

const LIMIT_MS = 5000;

/** A server whose connections the test holds in its hands, and a stream that reads from it without pausing. */
export function setUp(context, refusals = [], options = {}) {
  const seen = { cursors: [], events: [], statuses: [], pauses: [] };
  const connections = [];
  let cursor = 0;
  const opened = () => {};
  const backoff = new Backoff();
  backoff.next = (least) => {
    seen.pauses.push(least);
    return 0;
  };
  const stream = new EventStream({
    open: async (at, signal) => {
      seen.cursors.push(at);
      if (refusals.length) throw refusals.shift();
      let controller;
      const body = new ReadableStream({
        start: (it) => {
          controller = it;
        },
      });
      signal.addEventListener("abort", () => {
        try {
          controller.error(new Error("aborted"));
        } catch {
          /* it has ended */
        }
      });
      connections.push({
        send: (text) => controller.enqueue(new TextEncoder().encode(text)),
        cut: () => controller.close(),
        signal,
      });
      opened();
      return new Response(body);
    },
    cursor: () => cursor,
    onEvent: (event) => {
      seen.events.push(event);
      cursor = event.seq ?? cursor;
    },
    onStatus: (status) => seen.statuses.push(status),
    backoff,
    ...options,
  });
  context.after(() => stream.stop());
  const until = async (condition) => {
    for (
      const start = performance.now();
      !condition();
      await new Promise((resolve) => setImmediate(resolve))
    ) {
      assert.ok(performance.now() - start < LIMIT_MS, "waited too long");
    }
  };
  return { stream, seen, connections, until, backoff };
}
