// A conversation finds its way back, whatever the server answered meanwhile.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../../../chatsvc/static/widget/conversation.js";
import { controlledResponse, until } from "./streams.mjs";

const message = (seq, sender_type = "user") => ({
  id: String(seq),
  seq,
  content: `${seq}`,
  sender_type,
  client_id: null,
  read_at: null,
  created_at: "2026-01-01T00:00:00Z",
});
const chat = (last, unread_count = 0) => ({
  id: "1",
  messages: last,
  has_more: false,
  last_seq: last.at(-1)?.seq ?? 0,
  unread_count,
  archived: false,
});

/** A conversation, and the server as it answers. */
function setUp(context, client) {
  const streams = [];
  const openStream = async (cursor, _cursorId, signal) => {
    const { response, send } = controlledResponse(signal);
    streams.push({ cursor, send: (data) => send(`data: ${JSON.stringify(data)}\n\n`) });
    return response;
  };
  const conversation = new Conversation(
    { openStream, ...client },
    { known: true },
    { outbox: "", tabs: () => "tabs" },
    () => {},
  );
  context.after(() => conversation.stop());
  const waitUntil = (condition) => until(condition, () => conversation.wake());
  return { conversation, streams, until: waitUntil };
}

test("a reset is obeyed even if the server does not answer at once", async (context) => {
  // The one fetch after a reset once failed in silence: messages of a database that was restored from a backup have
  // numbers that this page already had, and were taken for known.
  const answers = [
    chat([message(1), message(2), message(3)]),
    new TypeError("no network"),
    chat([message(1)]),
  ];
  const { conversation, streams, until } = setUp(context, {
    chat: async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  void conversation.start();
  await until(() => streams.length === 1);
  streams[0].send({ type: "state", last_seq: 1, unread_count: 0, read_up_to: 0, archived: false });
  streams[0].send({ type: "reset" });
  await until(() => streams.length === 2);
  assert.equal(streams[1].cursor, 1);
  streams[1].send({ type: "new_message", message: { ...message(2), content: "another two" } });
  await until(() => conversation.state.messages.length === 2);
  assert.equal(conversation.state.messages[1].content, "another two");
});

test("what is read is told again after a reset", async (context) => {
  // The mark was once remembered from before: the new messages with lower numbers stayed unread, and led to e-mails.
  const answers = [
    chat(
      [1, 2, 3].map((seq) => message(seq, "admin")),
      3,
    ),
    chat([message(1, "admin")], 1),
  ];
  const marked = [];
  const { conversation, streams, until } = setUp(context, {
    chat: async () => answers.shift(),
    markRead: async (upTo) => {
      marked.push(upTo);
      return { read_up_to: upTo, unread_count: 0 };
    },
  });
  void conversation.start();
  await until(() => streams.length === 1);
  await conversation.markRead();
  streams[0].send({ type: "reset" });
  await until(() => streams.length === 2);
  await conversation.markRead();
  assert.deepEqual(marked, [3, 1]);
});
