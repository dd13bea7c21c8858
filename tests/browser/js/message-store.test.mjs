// The store is a pure function of what was heard: any order, any repetition, same result.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cursor,
  cursorId,
  EMPTY,
  reduce,
  unread,
} from "../../../chatsvc/static/widget/message-store.js";

const message = (seq, sender = "admin", clientId = null) => ({
  id: `id-${seq}`,
  seq,
  content: `message ${seq}`,
  sender_type: sender,
  read_at: null,
  created_at: `2026-01-29T10:${String(seq % 60).padStart(2, "0")}:00.000000Z`,
  client_id: clientId,
});
const snapshot = (seqs, extra = {}) => ({
  type: "snapshot",
  chat: {
    id: "c",
    messages: seqs.map((seq) => message(seq)),
    has_more: false,
    last_seq: seqs.at(-1) ?? 0,
    unread_count: seqs.length,
    archived: false,
    ...extra,
  },
});
const heard = (events, start = EMPTY) => events.reduce(reduce, start);
const seqs = (state) => state.messages.map(({ seq }) => seq);

function shuffled(list, random) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

function generator(seed) {
  let state = seed;
  return () => (state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
}

test("any order and repetition of events gives the same list, unread count and nothing outgoing", () => {
  const own = [message(4, "user", "a"), message(6, "user", "b")];
  const events = [
    snapshot([1, 2, 3]),
    {
      type: "pending",
      client_id: "a",
      content: "message 4",
      created_at: "2026-01-29T10:04:00.000000Z",
    },
    {
      type: "pending",
      client_id: "b",
      content: "message 6",
      created_at: "2026-01-29T10:06:00.000000Z",
    },
    ...own.map((m) => ({ type: "new_message", message: m })),
    { type: "new_message", message: message(5) },
    { type: "new_message", message: message(7) },
    { type: "messages_read", read_up_to: 2, read_at: "2026-01-29T10:10:00.000000Z" },
    { type: "messages_read", read_up_to: 5, read_at: "2026-01-29T10:11:00.000000Z" },
    { type: "failed", client_id: "a", temporary: true, reason: "" },
  ];
  for (let seed = 1; seed <= 500; seed += 1) {
    const random = generator(seed);
    const order = shuffled([...events, ...events.filter(() => random() < 0.5)], random);
    const state = heard(order);
    assert.deepEqual(seqs(state), [1, 2, 3, 4, 5, 6, 7], `seed ${seed}`);
    assert.deepEqual(state.outgoing, [], `seed ${seed}`);
    assert.equal(unread(state), 1, `seed ${seed}`);
    assert.equal(cursor(state), 7);
  }
});

test("the cursor stays before a hole until it is filled", () => {
  let state = heard([snapshot([1, 2]), { type: "new_message", message: message(5, "user", "x") }]);
  assert.equal(cursor(state), 2);
  state = heard(
    [
      { type: "new_message", message: message(3) },
      { type: "new_message", message: message(4) },
    ],
    state,
  );
  assert.equal(cursor(state), 5);
});

test("a message of one's own does not hide one that came before it into an empty chat", () => {
  // a reply was stored while the stream was down, then one's own message was answered: the reply was never asked for
  let state = heard([snapshot([]), { type: "new_message", message: message(2, "user", "x") }]);
  assert.equal(cursor(state), 0);
  state = reduce(state, { type: "new_message", message: message(1) });
  assert.equal(cursor(state), 2);
});

test("a snapshot with other messages under the same numbers replaces what is held", () => {
  // The server was restored while the page slept in the back-forward cache: read ghosts once stayed.
  const ghosts = heard([snapshot([1, 2, 3]), { type: "messages_read", read_up_to: 3 }]);
  assert.equal(cursorId(ghosts), "id-3");
  const restored = snapshot([1, 2]);
  restored.chat.messages[1].id = "another";
  const state = reduce(ghosts, restored);
  assert.deepEqual([seqs(state), cursorId(state), unread(state)], [[1, 2], "another", 2]);
  assert.deepEqual(seqs(reduce(ghosts, snapshot([1, 2]))), [1, 2, 3]); // only late
});

test("older pages and a later snapshot leave the cursor where it is", () => {
  let state = heard([snapshot([51, 52], { has_more: true })]);
  assert.equal(cursor(state), 52);
  state = reduce(state, {
    type: "older",
    page: { messages: [49, 50].map((seq) => message(seq)), has_more: true, last_seq: 52 },
  });
  assert.equal(cursor(state), 52);
  state = heard(
    [
      { type: "new_message", message: message(55, "user", "x") },
      snapshot([53, 54, 55], { has_more: true }),
    ],
    state,
  );
  assert.deepEqual([cursor(state), state.hasMore], [55, true]);
});

test("what staff have seen never goes back, whether it is told or part of a new connection", () => {
  const connected = (viewed) => ({
    type: "state",
    last_seq: 3,
    read_up_to: 0,
    unread_count: 0,
    archived: false,
    ...viewed,
  });
  const events = [
    connected({}),
    connected({ viewed_up_to: 2 }),
    { type: "admin_viewed", up_to: 1 },
    { type: "admin_viewed", up_to: 3 },
  ];
  for (let seed = 1; seed <= 50; seed += 1) {
    assert.equal(
      heard(shuffled([...events, ...events], generator(seed))).viewedUpTo,
      3,
      `seed ${seed}`,
    );
  }
  assert.equal(heard([connected({})]).viewedUpTo, 0);
});

test("a message that was given up is gone", () => {
  const sent = {
    type: "pending",
    client_id: "a",
    content: "hello",
    created_at: "2026-01-29T10:00:00.000000Z",
  };
  assert.deepEqual(heard([sent, { type: "discarded", client_id: "a" }]).outgoing, []);
});

test("state tells of messages that are still to come without moving the cursor", () => {
  const state = heard([
    snapshot([]),
    { type: "state", last_seq: 9, read_up_to: 0, unread_count: 0, archived: true },
  ]);
  assert.equal(cursor(state), 0);
  assert.equal(state.archived, true);
});

test("a failed message stays, can be retried, and goes when the server has it", () => {
  const sent = {
    type: "pending",
    client_id: "a",
    content: "hello",
    created_at: "2026-01-29T10:00:00.000000Z",
  };
  let state = heard([
    snapshot([]),
    sent,
    { type: "failed", client_id: "a", temporary: false, reason: "too long" },
  ]);
  assert.deepEqual(
    state.outgoing.map(({ status, reason }) => [status, reason]),
    [["refused", "too long"]],
  );
  state = reduce(state, { type: "retry", client_id: "a" });
  assert.equal(state.outgoing[0].status, "pending");
  state = reduce(state, { type: "new_message", message: message(1, "user", "a") });
  assert.deepEqual([state.outgoing, seqs(state)], [[], [1]]);
});

test("a staff message with the same client_id is not taken for one's own", () => {
  const sent = {
    type: "pending",
    client_id: "a",
    content: "hello",
    created_at: "2026-01-29T10:00:00.000000Z",
  };
  const state = heard([
    snapshot([]),
    sent,
    { type: "new_message", message: message(1, "admin", "a") },
  ]);
  assert.equal(state.outgoing.length, 1);
});

test("older pages join in front; unread ones among them are counted once", () => {
  let state = heard([snapshot([4, 5, 6], { has_more: true, unread_count: 5 })]);
  assert.equal(unread(state), 5);
  state = reduce(state, {
    type: "older",
    page: { messages: [2, 3].map((seq) => message(seq)), has_more: true, last_seq: 6 },
  });
  assert.deepEqual([seqs(state), unread(state), state.hasMore], [[2, 3, 4, 5, 6], 5, true]);
  state = reduce(state, { type: "messages_read", read_up_to: 6 });
  assert.equal(unread(state), 0);
});

test("a snapshot that does not join what is held replaces it; reset keeps what is not sent", () => {
  const sent = {
    type: "pending",
    client_id: "a",
    content: "hello",
    created_at: "2026-01-29T10:00:00.000000Z",
  };
  let state = heard([snapshot([1, 2]), sent, snapshot([70, 71], { has_more: true })]);
  assert.deepEqual([seqs(state), state.hasMore, cursor(state)], [[70, 71], true, 71]);
  state = reduce(state, { type: "reset" });
  assert.deepEqual([seqs(state), state.outgoing.length, state.loaded], [[], 1, false]);
});

test("read marks never go back, and unknown events change nothing", () => {
  const state = heard([
    snapshot([1, 2, 3]),
    { type: "messages_read", read_up_to: 3 },
    { type: "messages_read", read_up_to: 1 },
  ]);
  assert.equal(unread(state), 0);
  assert.equal(reduce(state, { type: "typing" }), state);
});
