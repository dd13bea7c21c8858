// @ts-check
/**
 * Announces staff messages to people who do not look at the page: a number in its title, and a
 * sound.
 */

import { READ_BY_NOW_MS } from "../shared/limits.js";
import { Sound } from "../shared/sound.js";
import { PageTitle } from "./page-title.js";

export class Notifier {
  #sound;
  #title = new PageTitle();
  #waiting = false;

  /** @param {string} key under which the browser stores that the sound is off */
  constructor(key) {
    this.#sound = new Sound(key);
  }

  get muted() {
    return this.#sound.muted;
  }

  /** Switch the sound. @returns {boolean} whether it is off now */
  toggle() {
    return (this.#sound.muted = !this.#sound.muted);
  }

  /** @param {number} unread @param {boolean} visible a visible page has no number in its title */
  count(unread, visible) {
    this.#title.show(visible ? 0 : unread);
  }

  /**
   * Play one sound for messages that arrive together.
   * @param {() => boolean} unnoticed called a moment later
   */
  arrived(unnoticed) {
    if (this.#waiting) return;
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      if (unnoticed()) this.#sound.play();
    }, READ_BY_NOW_MS);
  }
}
