// @ts-check
/** One live stream that keeps itself alive: watchdog, growing pauses, resuming from the cursor, waking up at once; polling where it does not get through. */
import { Backoff } from "./backoff.js";
import { HttpError } from "./chat-client.js";
import { EventParser } from "./event-parser.js";
import { Poller } from "./poller.js";

export const SILENCE_LIMIT_MS = 37_500; // 2.5 heartbeats of 15 s: a connection that is silent for longer is dead
export const FIRST_BYTE_LIMIT_MS = 10_000; // the server sends some at once: without them something on the way holds them back
export const STREAM_AGAIN_MS = 60_000; // while polling: proxies are repaired, networks are changed
const SETTLED_MS = 5000; // a stream that lived this long was no failure, however it ended
const FAILURES_BEFORE_POLLING = 2;

/**
 * @typedef {object} StreamOptions
 * @property {(cursor: number, signal: AbortSignal) => Promise<Response>} open
 * @property {() => number} cursor the last seq that is held without a hole before it
 * @property {(event: { type: string } & Record<string, any>) => void} onEvent
 * @property {(status: "live" | "polling" | "connecting" | "ended") => void} onStatus
 * @property {() => Promise<unknown>} [poll] fetches what is new, where streams do not come through
 * @property {() => void} [onRefused] the server does not take the token
 * @property {Backoff} [backoff]
 */

export class EventStream {
  #options;
  #backoff;
  /** @type {AbortController | null} */ #connection = null;
  #lastByteAt = 0;
  #heard = false;
  #heldBack = false;
  #goodbye = false;
  #hurry = false;
  #failures = 0;
  #running = false;
  #poller;

  /** @param {StreamOptions} options */
  constructor(options) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
    this.#poller = new Poller(options.poll ?? (() => Promise.reject(new Error("no polling"))), () => this.wake());
  }

  /** Once; a stream that was stopped is not started again. */
  start() {
    this.#running = true;
    void this.#run();
  }

  stop() {
    this.#running = false;
    this.#connection?.abort();
    this.#poller.stop();
    this.#backoff.wake();
  }

  /** The browser says that things may be better now. A stream that was silent through a sleep is replaced. */
  wake() {
    this.#backoff.wake();
    this.#poller.wake();
    if (performance.now() - this.#lastByteAt > SILENCE_LIMIT_MS) this.#connection?.abort();
  }

  /** Drops the connection and resumes from the cursor, at once. */
  restart() {
    this.#hurry = this.#connection !== null;
    this.#connection?.abort();
    this.#backoff.wake();
  }

  async #run() {
    while (this.#running) {
      this.#notLive();
      const least = await this.#attempt();
      if (!this.#running) break;
      this.#notLive();
      if (this.#hurry) continue;
      if (this.#failures >= FAILURES_BEFORE_POLLING) await this.#poller.start();
      if (!this.#running) break;
      this.#notLive();
      await this.#backoff.wait(this.#poller.on ? STREAM_AGAIN_MS : this.#backoff.next(least));
    }
    this.#poller.stop();
    this.#options.onStatus("ended");
  }

  #notLive() {
    this.#options.onStatus(this.#poller.on ? "polling" : "connecting");
  }

  /** One connection, until it ends. @returns {Promise<number>} what to wait at least before the next, in milliseconds */
  async #attempt() {
    const startedAt = performance.now();
    this.#heard = this.#heldBack = this.#goodbye = this.#hurry = false;
    let least = 0;
    try {
      least = await this.#connect();
    } catch (error) {
      if (error instanceof HttpError) {
        least = error.retryAfterMs;
        if (error.status === 401) this.#options.onRefused?.();
      }
    }
    const settled = this.#heard && performance.now() - startedAt > SETTLED_MS;
    if (settled) this.#backoff.reset();
    if (settled || this.#goodbye || this.#hurry) this.#failures = 0;
    else this.#failures += this.#heldBack ? FAILURES_BEFORE_POLLING : 1;
    return least;
  }

  async #connect() {
    const connection = (this.#connection = new AbortController());
    const parser = new EventParser();
    let watchdog = this.#watch(connection, FIRST_BYTE_LIMIT_MS);
    try {
      const response = await this.#options.open(this.#options.cursor(), connection.signal);
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        clearTimeout(watchdog);
        watchdog = this.#watch(connection, SILENCE_LIMIT_MS);
        this.#heard = true;
        for (const event of parser.feed(part.value)) this.#handle(event);
      }
    } finally {
      clearTimeout(watchdog);
      connection.abort();
      this.#connection = null;
    }
    return parser.retry ?? 0;
  }

  /** @param {AbortController} connection @param {number} limit milliseconds */
  #watch(connection, limit) {
    this.#lastByteAt = performance.now();
    return setTimeout(() => {
      this.#heldBack = !this.#heard;
      connection.abort();
    }, limit);
  }

  /** @param {import("./event-parser.js").ServerEvent} event */
  #handle(event) {
    const data = JSON.parse(event.data);
    if (event.event === "close") {
      this.#goodbye = true;
      if (data.reconnect === false) this.#running = false;
    } else if (event.event === "ping") {
      if (data.seq > this.#options.cursor()) this.restart(); // something was missed: ask for it
      this.#options.onEvent({ type: "ping", seq: data.seq });
    } else {
      if (data.type === "state") this.#live();
      this.#options.onEvent(data);
    }
  }

  #live() {
    this.#poller.stop();
    this.#options.onStatus("live");
  }
}
