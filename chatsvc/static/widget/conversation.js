// @ts-check
/**
 * One person's conversation while the page is open: loading, live events, sending, the read mark.
 * It does not touch the screen.
 */

import { cursor, cursorId, EMPTY, reduce } from "./message-store.js";
import { Outbox } from "./outbox.js";
import { ReadMark } from "./read-mark.js";
import { Snapshot } from "./snapshot.js";
import { Transport } from "./transport.js";

/** @typedef {import("./message-store.js").Event} Event */
/**
 * @typedef {"idle" | import("./transport.js").TransportStatus} Status idle: there is no identity
 * yet
 */

export class Conversation {
  state = EMPTY;
  /** @type {Status} */ status = "idle";
  #client;
  #identity;
  #name;
  #changed;
  #outbox;
  #snapshot;
  #readMark;
  #stopped = false;
  /** @type {Transport | null} */ #transport = null;

  /**
   * @param {import("./chat-client.js").ChatClient} client
   * @param {import("./identity.js").Identity} identity
   * @param {{ outbox: string, tabs: () => string }} names the storage key of the outbox, and the
   * name of the channel between tabs
   * @param {(event: Event) => void} changed called after every change with its cause
   */
  constructor(client, identity, names, changed) {
    this.#client = client;
    this.#identity = identity;
    this.#name = names.tabs;
    this.#changed = changed;
    this.#snapshot = new Snapshot(client, () => !this.#stopped && identity.known);
    this.#readMark = new ReadMark(client);
    this.#outbox = new Outbox({
      key: names.outbox,
      post: (item) => this.#post(item),
      dispatch: (event) => this.#dispatch(event),
    });
  }

  /** True in the tab that has the stream. */
  get leading() {
    return this.#transport?.leading ?? false;
  }

  /**
   * Restore unsent messages and connect if there is an identity; otherwise the first message
   * connects.
   */
  async start() {
    if (this.#stopped) return;
    this.#outbox.restore();
    if (this.#transport || !this.#identity.known) return;
    const transport = (this.#transport = this.#connection());
    this.#setStatus("connecting");
    await this.#load(false);
    if (this.#transport !== transport) return;
    if (this.#identity.known) transport.join();
    else this.pause(); // the server does not know this visitor any more
  }

  /**
   * Close everything that would keep the page out of the back-forward cache. `start` opens it
   * again.
   */
  pause() {
    this.#transport?.close();
    this.#transport = null;
    this.#setStatus(this.#identity.known ? "connecting" : "idle");
  }

  stop() {
    this.pause();
    this.#stopped = true;
    this.#outbox.stop();
    this.#snapshot.wake();
  }

  /** Retry everything that waits now: the network or the page is back. */
  wake() {
    this.#snapshot.wake();
    this.#outbox.wake();
    this.#transport?.wake();
  }

  /** Replace the connection: the network has changed. */
  reconnect() {
    this.wake();
    this.#transport?.restart();
  }

  /** @param {string} content */
  send(content) {
    this.#outbox.add(content);
  }
  /** @param {string} clientId */
  retry(clientId) {
    this.#outbox.retry(clientId);
  }
  /** @param {string} clientId */
  discard(clientId) {
    this.#outbox.discard(clientId);
  }

  /** @param {string} email the visitor's */
  async saveContact(email) {
    await this.#client.updateVisitor(email);
  }

  async loadOlder() {
    const oldest = this.state.messages[0]?.seq;
    if (!oldest || !this.state.hasMore) return;
    this.#dispatch({ type: "older", page: await this.#client.messages({ before: oldest }) });
  }

  /** Mark the messages on screen as read. */
  async markRead() {
    const readUpTo = this.#stopped ? null : await this.#readMark.move(this.state);
    if (readUpTo) this.#dispatch({ type: "messages_read", read_up_to: readUpTo });
  }

  #connection() {
    /** @type {Transport} */ const transport = new Transport({
      name: this.#name(),
      client: this.#client,
      cursor: () => cursor(this.state),
      cursorId: () => cursorId(this.state),
      onEvent: (event) => transport === this.#transport && this.#take(event),
      onStatus: (status) => transport === this.#transport && this.#setStatus(status),
      onRefused: () => this.#identity.known || this.pause(),
    });
    return transport;
  }

  /** @param {Event} event */
  #take(event) {
    if (event.type === "reset")
      // the server does not accept the cursor
      void this.#load(true).then(() => this.#transport?.restart());
    else this.#dispatch(event);
  }

  /** @param {import("./outbox.js").Item} item */
  async #post(item) {
    const message = await this.#client.postMessage(item.content, item.client_id);
    void this.start();
    // messages before it are missing
    if (this.state.loaded && message.seq > cursor(this.state) + 1) this.#transport?.fetchMissed();
    return message;
  }

  /**
   * Fetch the chat. The screen stays as it is until there is a response.
   * @param {boolean} anew discard the state first
   */
  async #load(anew) {
    const chat = await this.#snapshot.fetch();
    if (chat && anew) this.#readMark = new ReadMark(this.#client);
    if (chat && anew) this.#dispatch({ type: "reset" });
    if (chat) this.#dispatch({ type: "snapshot", chat });
  }

  /** @param {Event} event */
  #dispatch(event) {
    if (this.#stopped) return;
    const message = event.type === "new_message" ? event.message : null;
    if (message && this.state.messages.some(({ seq }) => seq === message.seq)) return;
    if (message?.sender_type === "user" && message.client_id)
      this.#outbox.settled(message.client_id);
    this.state = reduce(this.state, event);
    this.#changed(event);
  }

  /** @param {Status} status */
  #setStatus(status) {
    if (status === this.status || this.#stopped) return;
    this.status = status;
    this.#changed({ type: "status" });
  }
}
