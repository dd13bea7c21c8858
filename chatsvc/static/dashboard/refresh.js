// @ts-check
/**
 * Fetches a part of the screen again on demand. One fetch runs at a time; a demand meanwhile starts
 * another one.
 */
import { Backoff } from "../shared/backoff.js";

/** @typedef {import("./status.js").Part} Part */

export class Refresh {
  #part;
  #status;
  #task;
  #backoff = new Backoff();
  #wanted = false;
  /** @type {Promise<void> | null} */ #running = null;
  #stopped = false;

  /**
   * @param {Part} part
   * @param {import("./status.js").Status} status
   * @param {() => Promise<boolean | void>} task resolves with true if there is more to fetch
   */
  constructor(part, status, task) {
    this.#part = part;
    this.#status = status;
    this.#task = task;
  }

  /** Resolves when the screen is at least as new as this call. */
  run() {
    this.#wanted = true;
    return (this.#running ??= this.#loop());
  }

  /** Retry now. */
  wake() {
    this.#backoff.wake();
  }

  stop() {
    this.#stopped = true;
    this.#backoff.wake();
  }

  async #loop() {
    while (this.#wanted && !this.#stopped) await this.#once();
    this.#running = null;
    if (!this.#stopped) this.#status.current(this.#part);
  }

  async #once() {
    this.#wanted = false;
    try {
      if (await this.#task()) this.#wanted = true;
      this.#backoff.reset();
    } catch {
      if (this.#stopped) return;
      this.#wanted = true;
      this.#status.behind(this.#part);
      await this.#backoff.wait(this.#backoff.next());
    }
  }
}
