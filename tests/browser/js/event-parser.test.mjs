// The stream's text arrives in any pieces; the events must not depend on them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventParser } from "../../../chatsvc/static/widget/event-parser.js";

const bytes = (text) => new TextEncoder().encode(text);

function parse(data, size) {
  const parser = new EventParser();
  const events = [];
  for (let at = 0; at < data.length; at += size)
    events.push(...parser.feed(data.slice(at, at + size)));
  return { events, retry: parser.retry };
}

const TEXTS = {
  LF: '\ufeff: hello\nretry: 1500\n\nid: 7\ndata: {"a": "zażółć 👩‍👩‍👧"}\n\nevent: ping\ndata:one\ndata: two\ndata\n\n',
};
TEXTS.CRLF = TEXTS.LF.replaceAll("\n", "\r\n");
TEXTS.CR = TEXTS.LF.replaceAll("\n", "\r");

for (const [name, text] of Object.entries(TEXTS)) {
  test(`${name}: the same events whatever the size of the pieces`, () => {
    const data = bytes(text);
    for (let size = 1; size <= data.length; size += 1) {
      const { events, retry } = parse(data, size);
      assert.deepEqual(
        events,
        [
          { event: "message", data: '{"a": "zażółć 👩‍👩‍👧"}', id: "7" },
          { event: "ping", data: "one\ntwo\n", id: "7" },
        ],
        `pieces of ${size}`,
      );
      assert.equal(retry, 1500);
    }
  });
}

test("comments, unknown fields, events without data and unfinished events give nothing", () => {
  assert.deepEqual(
    parse(
      bytes(": ping\n\nevent: x\n\nfoo: bar\nid: 1\0\n\nretry: 1e3\n\ndata: never finished\n"),
      3,
    ).events,
    [],
  );
});
