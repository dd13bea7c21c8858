// @ts-check
/** Tells people who do not look that staff have written: the number in the page's title, and a sound. */

import { READ_BY_NOW_MS } from "../shared/limits.js";
import { Sound } from "../shared/sound.js";
import { PageTitle } from "./page-title.js";

export class Notifier {
  #sound;
  #title = new PageTitle();
  #waiting = false;

  /** @param {string} key under which the browser remembers that it is muted */
  constructor(key) {
    this.#sound = new Sound(key);
  }

  get muted() {
    return this.#sound.muted;
  }

  /** @returns {boolean} whether it is muted now */
  toggle() {
    return (this.#sound.muted = !this.#sound.muted);
  }

  /** @param {number} unread @param {boolean} visible the title is for pages that nobody looks at */
  count(unread, visible) {
    this.#title.show(visible ? 0 : unread);
  }

  /** One sound for all that arrives together. @param {() => boolean} unnoticed asked a moment later */
  arrived(unnoticed) {
    if (this.#waiting) return;
    this.#waiting = true;
    setTimeout(() => {
      this.#waiting = false;
      if (unnoticed()) this.#sound.play();
    }, READ_BY_NOW_MS);
  }
}
