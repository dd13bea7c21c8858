// @ts-check
/**
 * One connection to a stream, from the request to its end. It is closed when nothing arrives in
 * time.
 */
import { FIRST_BYTE_LIMIT_MS, SILENCE_LIMIT_MS } from "../shared/limits.js";
import { EventParser } from "./event-parser.js";

export class Connection {
  /** Some bytes have arrived. */
  heard = false;
  /** No bytes arrived in time: something on the way buffers the stream. */
  heldBack = false;
  #ended = new AbortController();
  #lastByteAt = now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #watchdog;

  /** True if no bytes arrived for too long. Timers do not notice that while the machine sleeps. */
  get silent() {
    return now().some((time, clock) => time - this.#lastByteAt[clock] > SILENCE_LIMIT_MS);
  }

  /**
   * Read events until the stream ends. Throw if the connection breaks.
   * @param {(signal: AbortSignal) => Promise<Response>} open
   * @param {(event: import("./event-parser.js").ServerEvent) => void} onEvent
   * @returns {Promise<number>} the server's `retry`, milliseconds to wait before the next
   * connection
   */
  async read(open, onEvent) {
    const parser = new EventParser();
    this.#watch(FIRST_BYTE_LIMIT_MS);
    try {
      const { body } = await open(this.#ended.signal);
      const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        this.heard = true;
        this.#watch(SILENCE_LIMIT_MS);
        parser.feed(part.value).forEach(onEvent);
      }
    } finally {
      this.close();
    }
    return parser.retry ?? 0;
  }

  close() {
    clearTimeout(this.#watchdog);
    this.#ended.abort();
  }

  /** @param {number} limit milliseconds until the next bytes */
  #watch(limit) {
    clearTimeout(this.#watchdog);
    this.#lastByteAt = now();
    this.#watchdog = setTimeout(() => {
      this.heldBack = !this.heard;
      this.close();
    }, limit);
  }
}

/**
 * Return two clocks in milliseconds: one that is never set but may stop during sleep, and the wall
 * clock.
 */
function now() {
  return [performance.now(), Date.now()];
}
