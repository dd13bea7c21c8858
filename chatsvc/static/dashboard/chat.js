// @ts-check
/** The page of one chat: live messages, read marks, archive state, and "viewed" for what a person could see. */
import { Backoff } from "../widget/backoff.js";
import { fetchDocument, post } from "./fragments.js";
import { Live } from "./live.js";
import { Reply } from "./reply.js";
import { Status } from "./status.js";
import { Thread } from "./thread.js";
import { keepTimesRight } from "./times.js";

const main = /** @type {HTMLElement} */ (document.getElementById("chat"));
const chat = main.dataset["chat"] ?? "";
const older = /** @type {HTMLAnchorElement | null} */ (document.getElementById("older"));
const status = new Status();
const thread = new Thread();
const backoff = new Backoff();
let cursor = Number(main.dataset["cursor"]);
let newest = cursor;
let viewed = cursor; // the server marked what it rendered
let live = false;
/** @type {Promise<void> | null} */ let running = null;

/** Fetches what is behind the newest message on screen, until there is no more. */
function catchUp() {
  running ??= fetchNewer().finally(() => { running = null; });
}

async function fetchNewer() {
  while (cursor < newest) {
    try {
      thread.insert(await fetchDocument(`/dashboard/chats/${chat}/messages?after=${cursor}`));
      if (thread.lastSeq <= cursor) break;
      cursor = thread.lastSeq;
      backoff.reset();
    } catch {
      status.lost();
      await backoff.wait(backoff.next());
    }
  }
  if (live) status.live();
  void markViewed();
}

/** Viewed is what a person could see: page visible, window focused, list at its end. */
async function markViewed() {
  if (viewed >= cursor || document.visibilityState !== "visible" || !document.hasFocus() || !thread.atEnd) return;
  const before = viewed;
  viewed = cursor;
  await post(`/admin/chats/${chat}/mark_viewed`, { up_to: viewed }).catch(() => { viewed = before; });
}

async function refreshTitle() {
  const fetched = await fetchDocument("/dashboard/tabs").catch(() => null);
  if (fetched) status.unread(fetched.getElementById("tabs")?.dataset["unread"]);
}

/** @param {boolean} archived */
function showArchived(archived) {
  /** @type {HTMLElement} */ (document.getElementById("archive")).hidden = archived;
  /** @type {HTMLElement} */ (document.getElementById("unarchive")).hidden = !archived;
}

/** @param {{ type: string } & Record<string, any>} event */
function heard(event) {
  if (event.type === "reset") return location.replace(`/dashboard/chats/${chat}`); // too far behind: start at the end
  if (event.type === "new_message") newest = Math.max(newest, event["message"].seq);
  if (event.type === "messages_read") thread.markRead(event["read_up_to"]);
  if (event.type === "chat_updated" && !event["chat"]) showArchived(event["archived"]);
  if (event.type === "state" && "last_seq" in event) {
    newest = Math.max(newest, event["last_seq"]);
    thread.markRead(event["read_up_to"]);
    showArchived(event["archived"]);
  }
  if (event["chat"] || event.type === "new_user_message" || "unread_chats" in event) void refreshTitle();
  catchUp();
}

async function loadOlder() {
  const more = thread.insert(await fetchDocument(`/dashboard/chats/${chat}/messages?before=${thread.firstSeq}`));
  if (older) older.hidden = !more;
}

keepTimesRight();
new Reply(chat, catchUp);
older?.addEventListener("click", (event) => {
  event.preventDefault();
  loadOlder().catch(() => location.assign(older.href));
});
for (const name of ["focus", "pageshow"]) window.addEventListener(name, () => void markViewed());
document.addEventListener("visibilitychange", () => void markViewed());
thread.scroll.addEventListener("scroll", () => void markViewed(), { passive: true });
new Live({
  url: () => `/admin/notifications/stream?chat_id=${chat}&last_event_id=${cursor}`,
  onEvent: heard,
  onStatus: (now) => {
    live = now;
    if (now) backoff.wake();
    else status.lost();
  },
});
