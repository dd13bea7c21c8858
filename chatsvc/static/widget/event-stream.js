// @ts-check
/** One live stream that keeps itself alive: watchdog, growing pauses, resuming from the cursor, waking up at once. */
import { Backoff } from "./backoff.js";
import { HttpError } from "./chat-client.js";
import { EventParser } from "./event-parser.js";

export const SILENCE_LIMIT_MS = 37_500; // 2.5 heartbeats of 15 s: a connection that is silent for longer is dead
const SETTLED_MS = 5000; // a stream that lived this long was no failure, however it ended

/**
 * @typedef {object} StreamOptions
 * @property {(cursor: number, signal: AbortSignal) => Promise<Response>} open
 * @property {() => number} cursor the last seq that is held without a hole before it
 * @property {(event: { type: string } & Record<string, any>) => void} onEvent
 * @property {(status: "live" | "connecting" | "ended") => void} onStatus
 * @property {Backoff} [backoff]
 */

export class EventStream {
  #options;
  #backoff;
  /** @type {AbortController | null} */ #connection = null;
  #lastByteAt = 0;
  #running = false;

  /** @param {StreamOptions} options */
  constructor(options) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
  }

  /** Once; a stream that was stopped is not started again. */
  start() {
    this.#running = true;
    void this.#run();
  }

  stop() {
    this.#running = false;
    this.#connection?.abort();
    this.#backoff.wake();
  }

  /** The browser says that things may be better now. A stream that was silent through a sleep is replaced. */
  wake() {
    this.#backoff.wake();
    if (performance.now() - this.#lastByteAt > SILENCE_LIMIT_MS) this.#connection?.abort();
  }

  /** Drops the connection and resumes from the cursor. */
  restart() {
    this.#connection?.abort();
  }

  async #run() {
    while (this.#running) {
      this.#options.onStatus("connecting");
      const startedAt = performance.now();
      const least = await this.#connect().catch((error) => (error instanceof HttpError ? error.retryAfterMs : 0));
      if (!this.#running) break;
      if (performance.now() - startedAt > SETTLED_MS) this.#backoff.reset();
      this.#options.onStatus("connecting");
      await this.#backoff.wait(this.#backoff.next(least));
    }
    this.#options.onStatus("ended");
  }

  /** One connection, until it ends. @returns {Promise<number>} what to wait at least before the next, in milliseconds */
  async #connect() {
    const connection = (this.#connection = new AbortController());
    const parser = new EventParser();
    let watchdog = this.#watch(connection);
    try {
      const response = await this.#options.open(this.#options.cursor(), connection.signal);
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(watchdog);
        watchdog = this.#watch(connection);
        for (const event of parser.feed(part.value)) this.#handle(event);
      }
    } finally {
      clearTimeout(watchdog);
      connection.abort();
      this.#connection = null;
    }
    return parser.retry ?? 0;
  }

  /** @param {AbortController} connection */
  #watch(connection) {
    this.#lastByteAt = performance.now();
    return setTimeout(() => connection.abort(), SILENCE_LIMIT_MS);
  }

  /** @param {import("./event-parser.js").ServerEvent} event */
  #handle(event) {
    const data = JSON.parse(event.data);
    if (event.event === "close") {
      if (data.reconnect === false) this.#running = false;
    } else if (event.event === "ping") {
      if (data.seq > this.#options.cursor()) this.restart(); // something was missed: ask for it
    } else {
      if (data.type === "state") this.#options.onStatus("live");
      this.#options.onEvent(data);
    }
  }
}
