// What was written is sent in order, once, however often the network fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HttpError } from "../../../chatsvc/static/widget/chat-client.js";
import { Outbox } from "../../../chatsvc/static/widget/outbox.js";

const LIMIT_MS = 5000;

function setUp(answers) {
  const asked = [];
  const events = [];
  const outbox = new Outbox({
    post: async (item) => {
      asked.push(item);
      const answer = answers.shift();
      if (answer) throw answer;
      return { seq: asked.length, client_id: item.client_id, content: item.content };
    },
    dispatch: (event) => events.push(event),
  });
  const until = async (condition) => {
    for (const start = performance.now(); !condition(); ) {
      assert.ok(performance.now() - start < LIMIT_MS, "waited too long");
      outbox.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const sent = () =>
    events.filter(({ type }) => type === "new_message").map(({ message }) => message.content);
  return { outbox, asked, events, until, sent };
}

test("repeats with the same client_id until there is an answer, and keeps the order", async () => {
  const { outbox, asked, until, sent } = setUp([
    new TypeError("no network"),
    new HttpError(503, 0, ""),
    new HttpError(429, 0, ""),
  ]);
  for (const text of ["one", "two", "three"]) outbox.add(text);
  await until(() => sent().length === 3);
  assert.deepEqual(sent(), ["one", "two", "three"]);
  assert.deepEqual(
    asked.map(({ content }) => content),
    ["one", "one", "one", "one", "two", "three"],
  );
  assert.equal(new Set(asked.slice(0, 4).map(({ client_id }) => client_id)).size, 1);
});

test("one that is refused does not hold up the others, and is sent again when asked for", async () => {
  const { outbox, events, until, sent } = setUp([new HttpError(422, 0, "not like this")]);
  outbox.add("refused");
  outbox.add("fine");
  await until(() => sent().length === 1);
  const failed = events.find(({ type }) => type === "failed");
  assert.deepEqual([failed.temporary, failed.reason], [false, "not like this"]);
  outbox.retry(failed.client_id);
  await until(() => sent().length === 2);
  assert.deepEqual(sent(), ["fine", "refused"]);
});

test("a single failure is repeated without a word, a second one is shown on all that waits", async () => {
  const { outbox, events, until, sent } = setUp([new TypeError(), new TypeError()]);
  outbox.add("one");
  outbox.add("two");
  await until(() => sent().length === 2);
  assert.equal(events.filter(({ type }) => type === "failed").length, 2);
});
