// @ts-check
/** The open chat: live messages, read marks, archive state, forms, older messages. */
import { fetchDocument } from "./fragments.js";
import { Refresh } from "./refresh.js";
import { Reply } from "./reply.js";
import { SmallForms } from "./small-forms.js";
import { Thread } from "./thread.js";
import { Viewed } from "./viewed.js";

/**
 * @typedef {{ archived: () => void, latest: () => void }} ChatActions archived: the person archived
 * this chat; latest: show its newest messages
 */

export class Chat {
  id;
  #node;
  #status;
  #actions;
  #thread;
  #forms;
  #reply;
  #refresh;
  #viewed;
  #cursor;
  #left = new AbortController();
  #resumed = false;
  #changedFrom = Infinity; // seq of the oldest message whose status may have changed

  /**
   * @param {HTMLElement} node
   * @param {import("./status.js").Status} status
   * @param {ChatActions} actions
   */
  constructor(node, status, actions) {
    this.#node = node;
    this.#status = status;
    this.#actions = actions;
    this.id = node.dataset.chat ?? "";
    this.#cursor = Number(node.dataset.cursor); // seq of the newest message on screen
    this.#thread = new Thread(node);
    this.#viewed = new Viewed(this.id, this.#cursor, {
      thread: this.#thread,
      signal: this.#left.signal,
    });
    this.#reply = new Reply(node, this.id, () => void this.#sent());
    this.#forms = new SmallForms(node, {
      done: (form) => (form.id === "archive" ? actions.archived() : this.#changed()),
      failed: (reason) => this.#reply.explain(reason),
    });
    this.#refresh = new Refresh("chat", status, () => this.#fetch());
    this.#reply.settle(this.#thread.items);
    status.gone("chat");
    status.behind("chat");
    this.#listen();
  }

  /**
   * The query of the stream. The cursor is the newest message, if the end of the chat is on screen.
   */
  get query() {
    const query = new URLSearchParams({ chat_id: this.id });
    if (!this.#thread.apart) {
      query.set("last_event_id", String(this.#cursor));
      query.set("last_message_id", this.#thread.idOf(this.#cursor));
    }
    return `?${query}`;
  }

  /** @param {import("./live.js").StreamEvent} event of this chat or of all chats */
  received(event) {
    if (event.type === "reset")
      this.#actions.latest(); // the cursor is too old
    else if (event.type === "new_message") this.#arrived(event.message.seq);
    else if (event.type === "messages_read")
      this.#changed(() => this.#thread.markRead(event.read_up_to));
    else if (event.type === "chat_updated" && "archived" in event)
      this.#changed(() => this.#forms.show(event.archived));
    else if ("chat" in event && event.chat.id === this.id && this.#thread.firstUnread)
      this.#changed(); // an e-mail may have been sent
    else if (event.type === "state" && "last_seq" in event) this.#resume(event);
  }

  /** Fetch new messages without a stream. */
  poll() {
    if (!this.#thread.apart) void this.#refresh.run();
  }

  wake() {
    this.#refresh.wake();
  }

  /** Another chat replaces this one. */
  leave() {
    this.#left.abort();
    this.#refresh.stop();
    this.#status.gone("chat");
  }

  /** Name the days again after midnight. */
  nameDays() {
    this.#thread.divide();
  }

  write() {
    this.#reply.focus();
  }

  /** Archive the chat as the button does. */
  archive() {
    this.#forms.archive();
  }

  #listen() {
    const older = /** @type {HTMLAnchorElement | null} */ (this.#node.querySelector("#older"));
    const { scroll } = this.#thread;
    scroll.addEventListener(
      "scroll",
      () => this.#thread.apart && this.#thread.atEnd && void this.#refresh.run(),
      { passive: true },
    );
    this.#node
      .querySelector("#jump")
      ?.addEventListener("click", () =>
        this.#thread.apart ? this.#actions.latest() : this.#thread.toEnd(),
      );
    older?.addEventListener("click", (event) => {
      event.preventDefault();
      this.#loadOlder(older).catch((error) => this.#reply.explain(error.message));
    });
  }

  /** @param {number} seq of a new message */
  #arrived(seq) {
    if (seq <= this.#cursor) return;
    if (this.#thread.apart) this.#thread.missed();
    else void this.#refresh.run();
  }

  /**
   * Fetch the status of unread staff messages again, also of one that is being fetched.
   * @param {() => void} [change] shows the change at once
   */
  #changed(change) {
    this.#changedFrom = Math.min(this.#changedFrom, this.#thread.firstUnread || this.#cursor + 1);
    change?.();
    void this.#refresh.run();
  }

  /** @param {import("../events.js").ChatStateEvent} state the first event of a stream */
  #resume(state) {
    const changed = () => {
      this.#thread.markRead(state.read_up_to);
      this.#forms.show(state.archived);
    };
    if (this.#resumed) this.#changed(changed);
    else changed(); // the page itself is new
    this.#resumed = true;
    if (this.#thread.apart || (state.last_seq <= this.#cursor && this.#changedFrom === Infinity))
      this.#status.current("chat");
    else void this.#refresh.run();
  }

  /**
   * Fetch the messages after the newest one on screen.
   * @returns {Promise<boolean>} there are more
   */
  async #fetch() {
    const from = Math.min(this.#cursor + 1, this.#changedFrom);
    this.#changedFrom = Infinity;
    const fetched = await fetchDocument(
      `/dashboard/chats/${this.id}/messages?after=${from - 1}`,
    ).catch((error) => {
      this.#changedFrom = Math.min(this.#changedFrom, from);
      throw error;
    });
    if (this.#left.signal.aborted) return false;
    this.#reply.settle(this.#thread.insert(fetched));
    this.#cursor = Math.max(this.#cursor, this.#thread.lastSeq);
    this.#viewed.shown(this.#thread.lastTheirs);
    const more = fetched.getElementById("messages")?.hasAttribute("data-more") ?? false;
    if (this.#thread.apart && !more) this.#thread.join(); // scrolled to the end of the chat
    return more && !this.#thread.apart;
  }

  async #sent() {
    if (this.#thread.apart) return this.#actions.latest();
    await this.#refresh.run();
    this.#thread.toEnd();
  }

  /** @param {HTMLAnchorElement} older */
  async #loadOlder(older) {
    const fetched = await fetchDocument(
      `/dashboard/chats/${this.id}/messages?before=${this.#thread.firstSeq}`,
    );
    this.#thread.insert(fetched);
    older.hidden = !fetched.getElementById("messages")?.hasAttribute("data-more");
  }
}
