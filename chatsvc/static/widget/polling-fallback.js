// @ts-check
/** Polls where streams do not get through, until a request fails. */
import { Backoff } from "../shared/backoff.js";

export const POLL_EVERY_MS = 5000;

export class PollingFallback {
  on = false;
  #ask;
  #lost;
  #pause = new Backoff();

  /**
   * @param {() => Promise<unknown>} ask rejects if there is no response
   * @param {() => void} lost called when polling has stopped after a failure
   */
  constructor(ask, lost) {
    this.#ask = ask;
    this.#lost = lost;
  }

  /** Resolves after the first request, and goes on if that succeeded. */
  async start() {
    if (this.on || !(await this.#answered()) || this.on) return;
    this.on = true;
    void this.#repeat((this.#pause = new Backoff()));
  }

  stop() {
    this.on = false;
    this.#pause.wake();
  }

  /** Poll at once. */
  wake() {
    this.#pause.wake();
  }

  /** @param {Backoff} pause another one if polling was stopped and started again */
  async #repeat(pause) {
    const current = () => this.on && this.#pause === pause;
    while (current()) {
      await pause.wait(POLL_EVERY_MS);
      if (!current() || (await this.#answered()) || !current()) continue;
      this.on = false;
      this.#lost();
    }
  }

  #answered() {
    return this.#ask().then(
      () => true,
      () => false,
    );
  }
}
