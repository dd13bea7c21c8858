// @ts-check
/** The dashboard: the list, the open chat, one stream for both, and alerts. */
import { everyMidnight } from "../shared/days.js";
import { Alerts } from "./alerts.js";
import { Chat } from "./chat.js";
import { List } from "./list.js";
import { Live } from "./live.js";
import { Navigation } from "./navigation.js";
import { shortcuts } from "./shortcuts.js";
import { Status } from "./status.js";
import { keepTimesRight, localise } from "./times.js";
import { tools } from "./tools.js";

const status = new Status(() => {
  live.wake();
  list.wake();
  chat?.wake();
});
const list = new List(status);
/** @type {Chat | null} */ let chat = null;

/** Take the chat in the page, if there is one. */
function take() {
  chat?.leave();
  const node = /** @type {HTMLElement} */ (document.getElementById("chat"));
  const url = `/dashboard/chats/${node.dataset.chat}`;
  chat = node.dataset.chat
    ? new Chat(node, status, {
        archived: () => void close(),
        latest: () => void navigation.go(url),
      })
    : null;
  list.mark(chat?.id ?? "");
}

/** Show the list, with the focus where it was. */
async function close() {
  const place = list.place;
  await navigation.go(list.page);
  await list.refresh();
  list.place = place;
}

/** @param {import("./live.js").StreamEvent} event */
function received(event) {
  chat?.received(event);
  if ("chat" in event || event.type === "new_user_message" || "unread_chats" in event)
    void list.refresh();
  if (event.type === "new_user_message") void alerts.received(event);
}

const navigation = new Navigation({
  shown: () => {
    status.title(document.title);
    take();
    localise(document);
    live.open();
    /** @type {HTMLElement | null} */ (document.querySelector("#chat h1"))?.focus();
  },
  failed: () => void list.refresh(), // shows that there is no connection
  resized: () => void list.refresh(),
});
const alerts = new Alerts((id) => void navigation.go(`/dashboard/chats/${id}`));
take();
const live = new Live({
  url: () => `/admin/notifications/stream${chat?.query ?? ""}`,
  onEvent: received,
  onOpen: () => {
    status.streaming();
    list.wake();
    chat?.wake();
  },
  onLost: (heardAt) => {
    // without a stream, fetch at each attempt to open one
    status.lost(heardAt);
    void list.refresh();
    chat?.poll();
  },
});

shortcuts({
  ...tools(),
  j: () => list.move(1),
  k: () => list.move(-1),
  r: () => chat?.write(),
  e: () => chat?.archive(),
  u: () => {
    if (chat) void close();
  },
});
keepTimesRight();
everyMidnight(() => chat?.nameDays());
