// @ts-check
/**
 * The state of the chat as a pure function of events. The same events in any order and any number
 * of times give the same list. `seq` identifies a message; `client_id` matches a stored message
 * with the pending one.
 */

/** @typedef {import("../support-chat.js").SupportMessage} SupportMessage */
/** @typedef {import("../events.js").ChatEvent} ChatEvent from the stream */
/**
 * Events of the widget itself.
 * @typedef {{ type: "snapshot", chat: import("../support-chat.js").SupportChatSnapshot }
 *   | { type: "older", page: import("../support-chat.js").MessagePage }
 *   | { type: "pending", client_id: string, content: string, created_at: string }
 *   | { type: "failed", client_id: string, temporary: boolean, reason: string }
 *   | { type: "retry" | "discarded", client_id: string }
 *   | { type: "messages_read", read_up_to: number }
 *   | { type: "ping", seq: number }
 *   | { type: "status" | "identified" | "drawn" | "midnight" }} OwnEvent
 */
/** @typedef {ChatEvent | OwnEvent} Event */
/**
 * @typedef {{ client_id: string, content: string, created_at: string, status: "pending" | "waiting"
 * | "refused", reason: string }} Outgoing
 */
/**
 * @typedef {object} ChatState
 * @property {SupportMessage[]} messages by seq
 * @property {Outgoing[]} outgoing in the order of sending
 * @property {number} start messages after this seq belong to the list; some may be missing
 * @property {number} lastSeq newest seq in any event
 * @property {number} readUpTo staff messages up to here are read
 * @property {number} viewedUpTo staff have seen messages up to here
 * @property {number} unreadBefore number of unread staff messages older than the list
 * @property {boolean} hasMore there are messages older than the list
 * @property {boolean} archived
 * @property {boolean} loaded a snapshot was received
 */

/** @type {ChatState} */
export const EMPTY = {
  messages: [],
  outgoing: [],
  start: 0,
  lastSeq: 0,
  readUpTo: 0,
  viewedUpTo: 0,
  unreadBefore: 0,
  hasMore: false,
  archived: false,
  loaded: false,
};

/**
 * @param {ChatState} state
 * @param {Event} event
 * @returns {ChatState}
 */
export function reduce(state, event) {
  switch (event.type) {
    case "snapshot":
      return snapshot(state, event.chat);
    case "older":
      return older(state, event.page);
    case "new_message":
      return merge(state, [event.message]);
    case "messages_read":
      return read(state, event.read_up_to);
    case "admin_viewed":
      return viewed(state, event.up_to);
    case "state":
      return connected(state, event);
    case "chat_updated":
      return { ...state, archived: event.archived };
    case "pending":
      return pending(state, event);
    case "failed":
      return mark(state, event.client_id, event.temporary ? "waiting" : "refused", event.reason);
    case "retry":
      return mark(state, event.client_id, "pending", "");
    case "discarded":
      return {
        ...state,
        outgoing: state.outgoing.filter(({ client_id }) => client_id !== event.client_id),
      };
    case "reset":
      return { ...EMPTY, outgoing: state.outgoing };
    default:
      return state; // an event of a newer server
  }
}

/**
 * Return the newest seq before which no message is missing: a stream resumes there.
 * @param {ChatState} state
 */
export function cursor(state) {
  let at = state.start;
  for (const { seq } of state.messages) {
    if (seq > at + 1) break;
    at = Math.max(at, seq);
  }
  return at;
}

/**
 * Return the id of the message at the cursor, if it is held: a restored server gives numbers again.
 * @param {ChatState} state
 */
export function cursorId(state) {
  const at = cursor(state);
  return state.messages.find(({ seq }) => seq === at)?.id;
}

/** Return the number of unread staff messages. @param {ChatState} state */
export function unread(state) {
  return countUnread(state.messages, state.readUpTo) + state.unreadBefore;
}

/** Return the seq of the newest staff message, or 0. @param {ChatState} state */
export function lastStaffSeq(state) {
  return state.messages.findLast((message) => message.sender_type === "admin")?.seq ?? 0;
}

/** @param {SupportMessage[]} messages @param {number} readUpTo */
function countUnread(messages, readUpTo) {
  return messages.filter(
    (message) => message.sender_type === "admin" && !message.read_at && message.seq > readUpTo,
  ).length;
}

/** @param {ChatState} state @param {import("../support-chat.js").SupportChatSnapshot} chat */
function snapshot(state, chat) {
  const held = new Map(state.messages.map(({ seq, id }) => [seq, id]));
  if (chat.messages.some(({ seq, id }) => held.has(seq) && held.get(seq) !== id))
    return snapshot({ ...EMPTY, outgoing: state.outgoing }, chat); // the server was restored
  const oldest = chat.messages[0]?.seq ?? 1;
  const newest = state.messages.at(-1)?.seq ?? 0;
  // there is a gap: older messages are fetched on demand
  const kept = newest < oldest - 1 ? { ...state, messages: [] } : state;
  const deeper = state.loaded && kept.messages.length > 0 && kept.messages[0].seq < oldest;
  return {
    ...merge(kept, chat.messages),
    start: deeper ? state.start : oldest - 1,
    lastSeq: Math.max(state.lastSeq, chat.last_seq),
    hasMore: deeper ? state.hasMore : chat.has_more,
    unreadBefore: deeper
      ? state.unreadBefore
      : Math.max(
          0,
          state.readUpTo >= oldest - 1 ? 0 : chat.unread_count - countUnread(chat.messages, 0),
        ),
    archived: chat.archived,
    loaded: true,
  };
}

/**
 * @param {ChatState} state
 * @param {import("../support-chat.js").MessagePage} page
 * @returns {ChatState}
 */
function older(state, page) {
  const unreadBefore = Math.max(0, state.unreadBefore - countUnread(page.messages, state.readUpTo));
  const start = Math.min(state.start, (page.messages[0]?.seq ?? Infinity) - 1);
  return { ...merge(state, page.messages), start, hasMore: page.has_more, unreadBefore };
}

/** @param {ChatState} state @param {SupportMessage[]} messages @returns {ChatState} */
function merge(state, messages) {
  const bySeq = new Map(state.messages.map((message) => [message.seq, message]));
  for (const message of messages) {
    // a read mark is never removed
    if (!bySeq.get(message.seq)?.read_at) bySeq.set(message.seq, message);
  }
  const arrived = new Set(
    messages
      .filter((message) => message.sender_type === "user")
      .map((message) => message.client_id),
  );
  const sorted = [...bySeq.values()].sort((a, b) => a.seq - b.seq);
  return {
    ...state,
    messages: sorted,
    outgoing: state.outgoing.filter((item) => !arrived.has(item.client_id)),
    lastSeq: Math.max(state.lastSeq, sorted.at(-1)?.seq ?? 0),
  };
}

/** @param {ChatState} state @param {number} upTo @returns {ChatState} */
function read(state, upTo) {
  const readUpTo = Math.max(state.readUpTo, upTo);
  const oldest = state.messages[0]?.seq ?? Infinity;
  return { ...state, readUpTo, unreadBefore: readUpTo >= oldest - 1 ? 0 : state.unreadBefore };
}

/** @param {ChatState} state @param {number} upTo @returns {ChatState} */
function viewed(state, upTo) {
  return { ...state, viewedUpTo: Math.max(state.viewedUpTo, upTo) };
}

/**
 * @param {ChatState} state
 * @param {import("../events.js").ChatStateEvent} event
 * @returns {ChatState}
 */
function connected(state, event) {
  const marked = viewed(read(state, event.read_up_to), event.viewed_up_to ?? 0);
  return { ...marked, lastSeq: Math.max(state.lastSeq, event.last_seq), archived: event.archived };
}

/**
 * @param {ChatState} state
 * @param {Extract<Event, { type: "pending" }>} event
 * @returns {ChatState}
 */
function pending(state, { client_id, content, created_at }) {
  const stored = state.messages.some(
    (message) => message.client_id === client_id && message.sender_type === "user",
  );
  if (stored || state.outgoing.some((item) => item.client_id === client_id)) return state;
  return {
    ...state,
    outgoing: [
      ...state.outgoing,
      { client_id, content, created_at, status: "pending", reason: "" },
    ],
  };
}

/**
 * @param {ChatState} state
 * @param {string} clientId
 * @param {Outgoing["status"]} status
 * @param {string} reason
 * @returns {ChatState}
 */
function mark(state, clientId, status, reason) {
  return {
    ...state,
    outgoing: state.outgoing.map((item) =>
      item.client_id === clientId ? { ...item, status, reason } : item,
    ),
  };
}
