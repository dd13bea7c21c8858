// @ts-check
/**
 * A stream that reconnects with growing pauses and resumes from the cursor. `wake` retries at once.
 * Where streams do not get through, it polls.
 */
import { Backoff } from "../shared/backoff.js";
import { HttpError } from "./chat-client.js";
import { Connection } from "./connection.js";
import { PollingFallback } from "./polling-fallback.js";

// while polling: the proxy or the network may be a different one by then
export const STREAM_AGAIN_MS = 60_000;
const SETTLED_MS = 5000; // a stream that lasted this long was not a failure
const FAILURES_BEFORE_POLLING = 2;

/**
 * @typedef {object} StreamOptions
 * @property {(cursor: number, signal: AbortSignal) => Promise<Response>} open
 * @property {() => number} cursor the last seq before which no message is missing
 * @property {(event: import("./message-store.js").Event) => void} onEvent
 * @property {(status: "live" | "polling" | "connecting" | "ended") => void} onStatus
 * @property {() => Promise<unknown>} [poll] fetches new messages where streams do not get through
 * @property {() => void} [onRefused] the server refuses the token
 * @property {Backoff} [backoff]
 */

export class EventStream {
  #options;
  #backoff;
  /** @type {Connection | null} */ #connection = null;
  #closeReceived = false;
  #immediate = false;
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

  /** Start. A stopped stream cannot be started again. */
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

  /** Retry now. Replace a connection that was silent while the machine slept. */
  wake() {
    this.#backoff.wake();
    this.#polling.wake();
    if (this.#connection?.silent) this.restart();
  }

  /** Drop the connection and resume from the cursor at once. */
  restart() {
    this.#immediate = this.#connection !== null;
    this.#connection?.close();
    this.#backoff.wake();
  }

  async #run() {
    while (this.#running) {
      this.#notLive();
      const least = await this.#attempt();
      if (!this.#running) break;
      this.#notLive();
      if (this.#immediate) continue;
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

  /**
   * Read one connection until it ends.
   * @returns {Promise<number>} the least pause before the next, in milliseconds
   */
  async #attempt() {
    const startedAt = performance.now();
    const connection = (this.#connection = new Connection());
    this.#closeReceived = this.#immediate = false;
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
    if (settled || this.#closeReceived || this.#immediate) this.#failures = 0;
    else this.#failures += connection.heldBack ? FAILURES_BEFORE_POLLING : 1;
    return least;
  }

  /** @param {import("./event-parser.js").ServerEvent} event */
  #handle(event) {
    const data = JSON.parse(event.data);
    if (event.event === "close") {
      this.#closeReceived = true;
      if (data.reconnect === false) this.#running = false;
    } else if (event.event === "ping") {
      if (data.seq > this.#options.cursor()) this.restart(); // a message is missing: ask for it
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
