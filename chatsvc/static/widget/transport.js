// @ts-check
/** What connects one tab's conversation with the server: its own stream in the leading tab, the leader's words in the others. */
import { Backoff } from "../shared/backoff.js";
import { SILENCE_LIMIT_MS } from "../shared/limits.js";
import { EventStream } from "./event-stream.js";
import { Replay } from "./replay.js";
import { Tabs } from "./tabs.js";

export const ANSWER_LIMIT_MS = 1500; // a tab that runs answers in a few milliseconds

/** @typedef {import("./message-store.js").Event} Event */
/** @typedef {"connecting" | "polling" | "live" | "ended"} TransportStatus ended: the server asked us not to come back */
/**
 * @typedef {object} TransportOptions
 * @property {string} name of the person, for the tabs
 * @property {import("./chat-client.js").ChatClient} client
 * @property {() => number} cursor
 * @property {(event: Event) => void} onEvent
 * @property {(status: TransportStatus) => void} onStatus
 * @property {() => void} onRefused the server does not take the token; may close the transport
 */

export class Transport {
  #options;
  #tabs;
  #replay;
  #backoff = new Backoff();
  /** @type {TransportStatus} */ #status = "connecting";
  /** @type {EventStream | null} in the leading tab */ #stream = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #patience;
  #joined = false;
  #closed = false;

  /** Hears the other tabs from now on, so that nothing is missed while the chat is fetched. @param {TransportOptions} options */
  constructor(options) {
    this.#options = options;
    this.#replay = new Replay(options.client, options.cursor);
    this.#tabs = new Tabs(options.name, {
      onLead: () => this.#lead(),
      onLost: () => this.#lost(),
      onReceive: (data) => this.#received(data),
    });
  }

  /** True in the one tab of this browser that holds the stream. */
  get leading() {
    return this.#tabs.leading;
  }

  /** The chat was fetched, and what comes after its newest message is wanted: from the leading tab, or as the leading tab. */
  join() {
    this.#joined = true;
    this.#tabs.join();
    this.#ask();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#patience);
    this.#tabs.close();
    this.#replay.close();
    this.#stream?.stop();
    this.#stream = null;
    this.#backoff.wake();
  }

  wake() {
    this.#backoff.wake();
    if (this.#stream && this.#status === "ended")
      this.#lead(); // too many tabs somewhere: somebody looks at this one again
    else if (this.#stream) this.#stream.wake();
    else this.#ask();
  }

  /** Asks the leading tab for a sign of life. One that gives none is frozen, and another has to lead. */
  #ask() {
    if (this.leading || !this.#joined) return;
    this.#tabs.broadcast({ wake: true });
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => this.leading || this.#tabs.takeOver(), ANSWER_LIMIT_MS);
  }

  #lost() {
    this.#stream?.stop();
    this.#stream = null;
    this.join();
  }

  /** Resumes from the cursor as it is now. */
  restart() {
    this.#stream?.restart();
  }

  #lead() {
    clearTimeout(this.#patience);
    const stream = new EventStream({
      open: (at, signal) => this.#options.client.openStream(at, signal),
      cursor: this.#options.cursor,
      onEvent: (event) => stream === this.#stream && this.#share(event),
      onStatus: (status) => stream === this.#stream && this.#setStatus(status),
      poll: () => this.#replay.read((event) => stream === this.#stream && this.#share(event)),
      onRefused: () => void this.#stepDown(),
    });
    this.#stream = stream;
    stream.start();
  }

  /** A tab whose token has expired must not keep the lead from one that has a fresh token: back to the end of the queue. */
  async #stepDown() {
    this.#options.onRefused();
    this.#stream?.stop();
    this.#stream = null;
    this.#tabs.leave();
    await this.#backoff.wait(this.#backoff.next());
    if (!this.#closed) this.join();
  }

  /** In the leading tab: what the stream brought is for all tabs. @param {Event} event */
  #share(event) {
    this.#tabs.broadcast({ event });
    this.#take(event);
  }

  /** From the tab that leads, or to it. @param {Record<string, any>} notice */
  #received({ event, status, wake }) {
    if (this.leading) {
      if (wake) this.#tabs.broadcast({ status: this.#status });
      if (wake) this.wake();
      return;
    }
    if (wake) return; // a question of another tab that does not lead
    clearTimeout(this.#patience);
    this.#patience = setTimeout(() => this.#ask(), SILENCE_LIMIT_MS);
    if (event) this.#take(event);
    if (status) this.#setStatus(status);
  }

  /** @param {Event} event */
  #take(event) {
    this.#options.onEvent(event);
    const newest =
      event.type === "new_message" ? event.message.seq : event.type === "ping" ? event.seq : 0;
    if (this.#joined && newest > this.#options.cursor()) this.fetchMissed(); // this tab slept, or came later than the message
  }

  /** Fetches what is missing in this tab. */
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
