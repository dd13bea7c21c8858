// @ts-check
/** One connection to a stream, from the request to its end. It does not trust silence. */
import { FIRST_BYTE_LIMIT_MS, SILENCE_LIMIT_MS } from "../shared/limits.js";
import { EventParser } from "./event-parser.js";

export class Connection {
  /** Something has come through. */
  heard = false;
  /** Nothing came through in time. */
  heldBack = false;
  #ended = new AbortController();
  #lastByteAt = now();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #watchdog;

  /** True when it should have heard something long ago: the machine slept, and its timers with it. */
  get silent() {
    return now().some((time, clock) => time - this.#lastByteAt[clock] > SILENCE_LIMIT_MS);
  }

  /**
   * Reads events until it ends; throws when it does not end by itself.
   * @param {(signal: AbortSignal) => Promise<Response>} open
   * @param {(event: import("./event-parser.js").ServerEvent) => void} onEvent
   * @returns {Promise<number>} what the server asks to wait before the next connection, in milliseconds
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

/** In milliseconds: of the clock that nobody sets but that sleeps with many machines, and of the one that is right afterwards. */
function now() {
  return [performance.now(), Date.now()];
}
