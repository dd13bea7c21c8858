// @ts-check
/** Asks again and again, for as long as the answers come: what is left where streams do not get through. */
import { Backoff } from "../shared/backoff.js";

export const POLL_EVERY_MS = 5000;

export class PollingFallback {
  on = false;
  #ask;
  #lost;
  #pause = new Backoff();

  /** @param {() => Promise<unknown>} ask rejects when there is no answer @param {() => void} lost it has stopped, for want of answers */
  constructor(ask, lost) {
    this.#ask = ask;
    this.#lost = lost;
  }

  /** Resolves after the first question; it goes on if that was answered. */
  async start() {
    if (this.on || !(await this.#answered()) || this.on) return;
    this.on = true;
    void this.#repeat((this.#pause = new Backoff()));
  }

  stop() {
    this.on = false;
    this.#pause.wake();
  }

  /** Asks at once. */
  wake() {
    this.#pause.wake();
  }

  /** @param {Backoff} pause another one when it was stopped and started meanwhile */
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
