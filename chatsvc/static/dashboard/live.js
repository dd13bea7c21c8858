// @ts-check
/**
 * The stream of events of the page. An EventSource stops for ever after a 503, so a new one is
 * created, with growing pauses.
 */
import { Backoff } from "../shared/backoff.js";
import { FIRST_BYTE_LIMIT_MS, SILENCE_LIMIT_MS } from "../shared/limits.js";

/** @typedef {import("../events.js").ChatEvent | import("../events.js").StaffEvent} StreamEvent */
/**
 * @typedef {object} LiveOptions
 * @property {() => string} url with the current cursor
 * @property {(event: StreamEvent) => void} onEvent
 * @property {() => void} onOpen before the first event
 * @property {(heardAt: number) => void} onLost called after every failure, with the time of the
 * last bytes in milliseconds
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
    // an open stream would keep the page out of the back-forward cache
    window.addEventListener("pagehide", () => this.#close());
    this.open();
  }

  /** Open the stream, instead of an open one: another chat is on screen. */
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

  /** Retry now if there is no stream. */
  wake() {
    this.#backoff.wake();
    if (!this.#source) this.open();
  }

  /** The server ended the stream. @param {{ reconnect: boolean }} close */
  #ended({ reconnect }) {
    if (reconnect) return this.#lost();
    this.#close();
    this.#options.onLost(this.#heardAt); // #look opens it when somebody looks at the page
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

  /** @param {number} limit of silence, in milliseconds */
  #watch(limit) {
    clearTimeout(this.#watchdog);
    this.#watchdog = window.setTimeout(() => this.#lost(), limit);
  }

  #look() {
    if (document.visibilityState !== "visible") return;
    // the machine slept
    if (this.#source && Date.now() - this.#heardAt > SILENCE_LIMIT_MS) this.#close();
    this.wake();
  }
}
