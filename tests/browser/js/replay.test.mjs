// Reading the log ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Replay } from "../../../chatsvc/static/widget/replay.js";

const page = (...seqs) => ({
  messages: seqs.map((seq) => ({ seq })),
  last_seq: 4,
  has_more: seqs.at(-1) < 4,
});

test("reads page after page to the end", async () => {
  let cursor = 0;
  const replay = new Replay(
    { messages: async ({ after }) => page(after + 1, after + 2) },
    () => cursor,
    () => undefined,
  );
  await replay.read(({ message }) => {
    cursor = message.seq;
  });
  assert.equal(cursor, 4);
});

test("ends when nobody takes what is read, as in a tab that has lost the lead meanwhile", async () => {
  // It once asked for the same page again and again.
  let asked = 0;
  const replay = new Replay(
    {
      messages: async () => {
        asked += 1;
        if (asked > 9) replay.close();
        return page(1, 2);
      },
    },
    () => 0,
    () => undefined,
  );
  await replay.read(() => {});
  assert.equal(asked, 1);
});

test("names the message at its cursor, and passes on that it is another one", async () => {
  // A restored server gives numbers again.
  const asked = [];
  const replay = new Replay(
    {
      messages: async (cursor) => {
        asked.push(cursor);
        return { messages: [], last_seq: 9, has_more: false, reset: true };
      },
    },
    () => 4,
    () => "the fourth",
  );
  const told = [];
  await replay.read((event) => told.push(event));
  assert.deepEqual(asked, [{ after: 4, after_id: "the fourth" }]);
  assert.deepEqual(told, [{ type: "reset" }]);
});
