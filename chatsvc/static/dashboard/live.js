// @ts-check
/** The page's one stream of events. An EventSource gives up for ever after one 503, so it is made anew, with cursor and growing pauses. */
import { Backoff } from "../shared/backoff.js";
import { FIRST_BYTE_LIMIT_MS, SILENCE_LIMIT_MS } from "../shared/limits.js";

/** @typedef {import("../events.js").ChatEvent | import("../events.js").StaffEvent} StreamEvent */
/**
 * @typedef {object} LiveOptions
 * @property {() => string} url with the cursor as it is now
 * @property {(event: StreamEvent) => void} onEvent
 * @property {() => void} onOpen before the first event
 * @property {(heardAt: number) => void} onLost with the time of the last sign of life, milliseconds; at every attempt that fails
 */

export class Live {
  #options;
  #backoff = new Backoff();
  /** @type {EventSource | null} */ #source = null;
  #settled = false;
  #watchdog = 0;
  #heardAt = Date.now();

  /** @param {LiveOptions} options */
  constructor(options) {
    this.#options = options;
    for (const name of ["online", "pageshow", "focus"])
      window.addEventListener(name, () => this.#look());
    document.addEventListener("visibilitychange", () => this.#look());
    window.addEventListener("pagehide", () => this.#close()); // an open stream would keep the page out of the back-forward cache
    this.open();
  }

  /** Opens the stream, anew if there is one: another chat is on screen. */
  open() {
    this.#close();
    const source = (this.#source = new EventSource(this.#options.url()));
    this.#watch(FIRST_BYTE_LIMIT_MS);
    source.onopen = () => this.#received();
    source.onerror = () => this.#lost();
    source.onmessage = (event) => {
      this.#received();
      if (!this.#settled) this.#options.onOpen();
      this.#settled = true;
      this.#backoff.reset();
      this.#options.onEvent(JSON.parse(event.data));
    };
    source.addEventListener("ping", () => this.#received());
    source.addEventListener("close", (event) => this.#ended(JSON.parse(event.data)));
  }

  /** Tries at once, if there is no stream. */
  wake() {
    this.#backoff.wake();
    if (!this.#source) this.open();
  }

  /** The server said why it ends the stream. @param {{ reconnect: boolean }} close */
  #ended({ reconnect }) {
    if (reconnect) return this.#lost();
    this.#close();
    this.#options.onLost(this.#heardAt); // somebody has to look at this page again: see #look
  }

  #lost() {
    this.#close();
    this.#options.onLost(this.#heardAt);
    void this.#backoff.wait(this.#backoff.next()).then(() => this.#source ?? this.open());
  }

  #close() {
    clearTimeout(this.#watchdog);
    this.#source?.close();
    this.#source = null;
    this.#settled = false;
  }

  #received() {
    this.#heardAt = Date.now();
    this.#watch(SILENCE_LIMIT_MS);
  }

  /** @param {number} limit milliseconds of silence that are allowed */
  #watch(limit) {
    clearTimeout(this.#watchdog);
    this.#watchdog = window.setTimeout(() => this.#lost(), limit);
  }

  #look() {
    if (document.visibilityState !== "visible") return;
    if (this.#source && Date.now() - this.#heardAt > SILENCE_LIMIT_MS) this.#close(); // slept
    this.wake();
  }
}
