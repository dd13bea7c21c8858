// A stream under test, and the server that it talks to, in the test's hands.
import { Backoff } from "../../../chatsvc/static/shared/backoff.js";
import { EventStream } from "../../../chatsvc/static/widget/event-stream.js";
import { controlledResponse, until } from "./streams.mjs";

/** A server whose connections the test holds in its hands, and a stream that reads from it without pausing. */
export function setUp(context, refusals = [], options = {}) {
  const seen = { cursors: [], events: [], statuses: [], pauses: [] };
  const connections = [];
  let cursor = 0;
  const backoff = new Backoff();
  backoff.next = (least) => {
    seen.pauses.push(least);
    return 0;
  };
  const stream = new EventStream({
    open: async (at, signal) => {
      seen.cursors.push(at);
      if (refusals.length) throw refusals.shift();
      const { response, send, cut } = controlledResponse(signal);
      connections.push({ send, cut, signal });
      return response;
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
  return { stream, seen, connections, until, backoff };
}
