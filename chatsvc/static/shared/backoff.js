// @ts-check
/**
 * Growing pauses between attempts, with jitter so that clients do not reconnect at the same time.
 * `wake` ends a pause.
 */

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
// the longest Retry-After that is followed; timers of more than 24 days would end at once
const LONGEST_RETRY_AFTER_MS = 300_000;

export class Backoff {
  #failures = 0;
  /** @type {(() => void) | null} */ #wake = null;

  /** @param {() => number} [random] */
  constructor(random = Math.random) {
    this.random = random;
  }

  get failures() {
    return this.#failures;
  }

  reset() {
    this.#failures = 0;
  }

  /**
   * Return the next pause, whose second half is random. It is at least `least`, the server's
   * Retry-After, up to a limit.
   * @param {number} [least] milliseconds
   * @returns {number} milliseconds
   */
  next(least = 0) {
    const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#failures++, 10));
    return Math.max(full * (0.5 + this.random() / 2), Math.min(least, LONGEST_RETRY_AFTER_MS));
  }

  /** @param {number} ms @returns {Promise<void>} resolves earlier after `wake` */
  wait(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wake(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }

  wake() {
    this.#wake?.();
  }
}
