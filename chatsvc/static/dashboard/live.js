// @ts-check
/** The page's one stream of events. An EventSource gives up for ever after one 503, so it is made anew, with cursor and growing pauses. */
import { Backoff } from "../widget/backoff.js";

const SILENCE_LIMIT_MS = 37_500; // 2.5 heartbeats of 15 s
const FIRST_ANSWER_LIMIT_MS = 10_000;

/**
 * @typedef {object} LiveOptions
 * @property {() => string} url with the cursor as it is now
 * @property {(event: { type: string } & Record<string, any>) => void} onEvent
 * @property {(live: boolean) => void} onStatus
 */

export class Live {
  #options;
  #backoff = new Backoff();
  /** @type {EventSource | null} */ #source = null;
  #watchdog = 0;
  #lastByteAt = 0;

  /** @param {LiveOptions} options */
  constructor(options) {
    this.#options = options;
    for (const name of ["online", "pageshow", "focus"]) window.addEventListener(name, () => this.#wake());
    document.addEventListener("visibilitychange", () => this.#wake());
    window.addEventListener("pagehide", () => this.#close()); // an open stream would keep the page out of the back-forward cache
    this.#open();
  }

  #open() {
    this.#close();
    const source = (this.#source = new EventSource(this.#options.url()));
    this.#watch(FIRST_ANSWER_LIMIT_MS);
    source.onopen = () => this.#watch(SILENCE_LIMIT_MS);
    source.onerror = () => this.#lost();
    source.onmessage = (event) => {
      this.#watch(SILENCE_LIMIT_MS);
      const data = JSON.parse(event.data);
      if (data.type === "state") this.#settled();
      this.#options.onEvent(data);
    };
    source.addEventListener("ping", () => this.#watch(SILENCE_LIMIT_MS));
    source.addEventListener("close", (event) => this.#ended(JSON.parse(event.data)));
  }

  #settled() {
    this.#backoff.reset();
    this.#options.onStatus(true);
  }

  /** The server said why it ends the stream. @param {{ reconnect: boolean }} close */
  #ended({ reconnect }) {
    if (reconnect) return this.#lost();
    this.#close();
    this.#options.onStatus(false); // somebody has to look at this page again: see #wake
  }

  #lost() {
    this.#close();
    this.#options.onStatus(false);
    void this.#backoff.wait(this.#backoff.next()).then(() => this.#source ?? this.#open());
  }

  #close() {
    clearTimeout(this.#watchdog);
    this.#source?.close();
    this.#source = null;
  }

  /** @param {number} limit milliseconds of silence that are allowed */
  #watch(limit) {
    this.#lastByteAt = performance.now();
    clearTimeout(this.#watchdog);
    this.#watchdog = window.setTimeout(() => this.#lost(), limit);
  }

  #wake() {
    if (document.visibilityState !== "visible") return;
    this.#backoff.wake();
    if (!this.#source || performance.now() - this.#lastByteAt > SILENCE_LIMIT_MS) this.#open();
  }
}
