// @ts-check
/** Pauses between attempts: growing, jittered (a thousand clients must not come back together), and interruptible. */

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
const LONGEST_ASKED_MS = 300_000; // what a server, or a proxy for it, may ask for: somebody waits, and timers end at once after 24 days

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
   * The next pause, the second half of it random. At least `least`, which is what a server asked for, within reason.
   * @param {number} [least] milliseconds
   * @returns {number} milliseconds
   */
  next(least = 0) {
    const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#failures++, 10));
    return Math.max(full * (0.5 + this.random() / 2), Math.min(least, LONGEST_ASKED_MS));
  }

  /** @param {number} ms @returns {Promise<void>} earlier when woken */
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
