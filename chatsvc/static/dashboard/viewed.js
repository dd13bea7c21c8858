// @ts-check
/**
 * Marks messages as viewed when a person could see them: page visible, window focused, scrolled to
 * the end.
 */
import { post } from "./fragments.js";

export class Viewed {
  #chat;
  #upTo;
  #shown;
  #thread;

  /**
   * @param {string} chat id
   * @param {number} upTo newest message of the page itself, which the server has marked
   * @param {{ thread: import("./thread.js").Thread, signal: AbortSignal }} options signal: aborted
   * when another chat replaces this one
   */
  constructor(chat, upTo, { thread, signal }) {
    this.#chat = chat;
    this.#upTo = this.#shown = upTo;
    this.#thread = thread;
    const look = () => void this.#look();
    for (const name of ["focus", "pageshow"]) window.addEventListener(name, look, { signal });
    document.addEventListener("visibilitychange", look, { signal });
    thread.scroll.addEventListener("scroll", look, { passive: true, signal });
  }

  /** @param {number} upTo seq of the user's newest message on screen */
  shown(upTo) {
    this.#shown = upTo;
    void this.#look();
  }

  async #look() {
    if (
      this.#upTo >= this.#shown ||
      document.visibilityState !== "visible" ||
      !document.hasFocus() ||
      !this.#thread.atEnd
    )
      return;
    const before = this.#upTo;
    this.#upTo = this.#shown;
    await post(`/admin/chats/${this.#chat}/mark_viewed`, { up_to: this.#shown }).catch(() => {
      this.#upTo = before;
    }); // the next look retries
  }
}
