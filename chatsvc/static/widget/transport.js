// @ts-check
/**
 * Brings events to one tab's conversation: from its own stream in the leading tab, from the leading
 * tab in the others.
 */
import { Backoff } from "../shared/backoff.js";
import { SILENCE_LIMIT_MS } from "../shared/limits.js";
import { EventStream } from "./event-stream.js";
import { Replay } from "./replay.js";
import { Tabs } from "./tabs.js";

export const ANSWER_LIMIT_MS = 1500; // a running tab responds in a few milliseconds

/** @typedef {import("./message-store.js").Event} Event */
/**
 * @typedef {"connecting" | "polling" | "live" | "ended"} TransportStatus ended: the server said not
 * to reconnect
 */
/**
 * @typedef {object} TransportOptions
 * @property {string} name of the channel between the person's tabs
 * @property {import("./chat-client.js").ChatClient} client
 * @property {() => number} cursor
 * @property {() => string | undefined} cursorId of the message at the cursor
 * @property {(event: Event) => void} onEvent
 * @property {(status: TransportStatus) => void} onStatus
 * @property {() => void} onRefused the server refuses the token; may close the transport
 */

export class Transport {
  #options;
  #tabs;
  #replay;
  #backoff = new Backoff();
  /** @type {TransportStatus} */ #status = "connecting";
  /** @type {EventStream | null} in the leading tab */ #stream = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #responseTimer;
  #joined = false;
  #closed = false;

  /**
   * Listen to the other tabs at once, so that nothing is missed while the chat is fetched.
   * @param {TransportOptions} options
   */
  constructor(options) {
    this.#options = options;
    this.#replay = new Replay(options.client, options.cursor, options.cursorId);
    this.#tabs = new Tabs(options.name, {
      onLead: () => this.#lead(),
      onLost: () => this.#lost(),
      onReceive: (data) => this.#received(data),
    });
  }

  /** True in the tab that has the stream. */
  get leading() {
    return this.#tabs.leading;
  }

  /** The chat was fetched: get newer events from the leading tab, or as the leading tab. */
  join() {
    this.#joined = true;
    this.#tabs.join();
    this.#ask();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#responseTimer);
    this.#tabs.close();
    this.#replay.close();
    this.#stream?.stop();
    this.#stream = null;
    this.#backoff.wake();
  }

  wake() {
    this.#backoff.wake();
    if (this.#stream && this.#status === "ended")
      this.#lead(); // superseded by other tabs, and somebody looks at this one again
    else if (this.#stream) this.#stream.wake();
    else this.#ask();
  }

  /** Ask the leading tab for its status. If it does not respond, it is frozen: take over. */
  #ask() {
    if (this.leading || !this.#joined) return;
    this.#tabs.broadcast({ wake: true });
    clearTimeout(this.#responseTimer);
    this.#responseTimer = setTimeout(() => this.leading || this.#tabs.takeOver(), ANSWER_LIMIT_MS);
  }

  #lost() {
    this.#stream?.stop();
    this.#stream = null;
    this.join();
  }

  /** Reconnect and resume from the cursor. */
  restart() {
    this.#stream?.restart();
  }

  #lead() {
    clearTimeout(this.#responseTimer);
    const stream = new EventStream({
      open: (at, signal) => this.#options.client.openStream(at, this.#options.cursorId(), signal),
      cursor: this.#options.cursor,
      onEvent: (event) => stream === this.#stream && this.#share(event),
      onStatus: (status) => stream === this.#stream && this.#setStatus(status),
      poll: () => this.#replay.read((event) => stream === this.#stream && this.#share(event)),
      onRefused: () => void this.#stepDown(),
    });
    this.#stream = stream;
    stream.start();
  }

  /** Let another tab lead, which may have a fresh token, and wait again. */
  async #stepDown() {
    this.#options.onRefused();
    this.#stream?.stop();
    this.#stream = null;
    this.#tabs.leave();
    await this.#backoff.wait(this.#backoff.next());
    if (!this.#closed) this.join();
  }

  /** Pass an event of the stream to all tabs. @param {Event} event */
  #share(event) {
    this.#tabs.broadcast({ event });
    this.#take(event);
  }

  /** Handle a message of another tab. @param {Record<string, any>} message */
  #received({ event, status, wake }) {
    if (this.leading) {
      if (wake) this.#tabs.broadcast({ status: this.#status });
      if (wake) this.wake();
      return;
    }
    if (wake) return; // a question for the leading tab
    clearTimeout(this.#responseTimer);
    this.#responseTimer = setTimeout(() => this.#ask(), SILENCE_LIMIT_MS);
    if (event) this.#take(event);
    if (status) this.#setStatus(status);
  }

  /** @param {Event} event */
  #take(event) {
    this.#options.onEvent(event);
    const newest =
      event.type === "new_message" ? event.message.seq : event.type === "ping" ? event.seq : 0;
    // this tab slept, or was opened after the message
    if (this.#joined && newest > this.#options.cursor()) this.fetchMissed();
  }

  /** Fetch the messages that this tab missed. */
  fetchMissed() {
    this.#replay.start(this.#options.onEvent);
  }

  /** @param {TransportStatus} status */
  #setStatus(status) {
    this.#status = status;
    if (this.leading) this.#tabs.broadcast({ status });
    if (status === "live") this.#backoff.reset();
    this.#options.onStatus(status);
  }
}
