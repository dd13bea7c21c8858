// @ts-check
/** One live stream that keeps itself alive: one connection after the other, growing pauses, resuming from the cursor, waking up at once; polling where it does not get through. */
import { Backoff } from "../shared/backoff.js";
import { HttpError } from "./chat-client.js";
import { Connection } from "./connection.js";
import { PollingFallback } from "./polling-fallback.js";

export const STREAM_AGAIN_MS = 60_000; // while polling: proxies are repaired, networks are changed
const SETTLED_MS = 5000; // a stream that lived this long was no failure, however it ended
const FAILURES_BEFORE_POLLING = 2;

/**
 * @typedef {object} StreamOptions
 * @property {(cursor: number, signal: AbortSignal) => Promise<Response>} open
 * @property {() => number} cursor the last seq that is held without a hole before it
 * @property {(event: import("./message-store.js").Event) => void} onEvent
 * @property {(status: "live" | "polling" | "connecting" | "ended") => void} onStatus
 * @property {() => Promise<unknown>} [poll] fetches what is new, where streams do not come through
 * @property {() => void} [onRefused] the server does not take the token
 * @property {Backoff} [backoff]
 */

export class EventStream {
  #options;
  #backoff;
  /** @type {Connection | null} */ #connection = null;
  #goodbye = false;
  #hurry = false;
  #failures = 0;
  #running = false;
  #polling;

  /** @param {StreamOptions} options */
  constructor(options) {
    this.#options = options;
    this.#backoff = options.backoff ?? new Backoff();
    this.#polling = new PollingFallback(
      options.poll ?? (() => Promise.reject(new Error("no polling"))),
      () => this.wake(),
    );
  }

  /** Once; a stream that was stopped is not started again. */
  start() {
    this.#running = true;
    void this.#run();
  }

  stop() {
    this.#running = false;
    this.#connection?.close();
    this.#polling.stop();
    this.#backoff.wake();
  }

  /** The browser says that things may be better now. A stream that was silent through a sleep is replaced. */
  wake() {
    this.#backoff.wake();
    this.#polling.wake();
    if (this.#connection?.silent) this.restart();
  }

  /** Drops the connection and resumes from the cursor, at once. */
  restart() {
    this.#hurry = this.#connection !== null;
    this.#connection?.close();
    this.#backoff.wake();
  }

  async #run() {
    while (this.#running) {
      this.#notLive();
      const least = await this.#attempt();
      if (!this.#running) break;
      this.#notLive();
      if (this.#hurry) continue;
      if (this.#failures >= FAILURES_BEFORE_POLLING) await this.#polling.start();
      if (!this.#running) break;
      this.#notLive();
      await this.#backoff.wait(this.#polling.on ? STREAM_AGAIN_MS : this.#backoff.next(least));
    }
    this.#polling.stop();
    this.#options.onStatus("ended");
  }

  #notLive() {
    this.#options.onStatus(this.#polling.on ? "polling" : "connecting");
  }

  /** One connection, until it ends. @returns {Promise<number>} what to wait at least before the next, in milliseconds */
  async #attempt() {
    const startedAt = performance.now();
    const connection = (this.#connection = new Connection());
    this.#goodbye = this.#hurry = false;
    let least = 0;
    try {
      least = await connection.read(
        (signal) => this.#options.open(this.#options.cursor(), signal),
        (event) => this.#handle(event),
      );
    } catch (error) {
      if (error instanceof HttpError) {
        least = error.retryAfterMs;
        if (error.status === 401) this.#options.onRefused?.();
      }
    }
    this.#connection = null;
    const settled = connection.heard && performance.now() - startedAt > SETTLED_MS;
    if (settled) this.#backoff.reset();
    if (settled || this.#goodbye || this.#hurry) this.#failures = 0;
    else this.#failures += connection.heldBack ? FAILURES_BEFORE_POLLING : 1;
    return least;
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
    this.#polling.stop();
    this.#options.onStatus("live");
  }
}
