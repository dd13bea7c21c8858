// @ts-check
/**
 * Shows when the page may be out of date, and how old it is. The page has parts (the list, the open
 * chat). It is live while the stream is open and every part was fetched since it opened. Also shows
 * the number of unread chats in the title.
 */
import { text } from "./texts.js";
import { age } from "./times.js";

const PATIENCE_MS = 2000; // a short restart is not shown
const TELL_EVERY_MS = 10_000; // updates the age

/** @typedef {"list" | "chat"} Part */

export class Status {
  #banner = /** @type {HTMLElement} */ (document.getElementById("stale"));
  #message = document.createElement("span");
  #title = document.title.replace(/^\(\d+\+?\) /, "");
  #unread = document.getElementById("chats")?.dataset.unread ?? document.body.dataset.unread;
  /**
   * @type {Map<Part, { at: number, current: boolean }>} `at`: when it was last current, in
   * milliseconds
   */
  #parts = new Map();
  #streaming = false;
  #timer = 0;

  /** @param {() => void} retry called by the banner's button */
  constructor(retry) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text("try_now");
    button.addEventListener("click", retry);
    this.#banner.replaceChildren(this.#message, button);
  }

  /** The stream is open. */
  streaming() {
    this.#streaming = true;
    this.#show();
  }

  /** The stream is lost. @param {number} at the time of its last bytes */
  lost(at) {
    for (const [name, part] of this.#parts)
      if (part.current) this.#parts.set(name, { at, current: false });
    this.#streaming = false;
    this.#show();
  }

  /** This part is up to date. @param {Part} part */
  current(part) {
    this.#parts.set(part, { at: Date.now(), current: this.#streaming });
    this.#show();
  }

  /** This part has changes that are not fetched. @param {Part} part */
  behind(part) {
    const known = this.#parts.get(part);
    if (known?.current ?? true) this.#parts.set(part, { at: Date.now(), current: false });
    this.#show();
  }

  /** This part is no longer on screen. @param {Part} part */
  gone(part) {
    this.#parts.delete(part);
    this.#show();
  }

  /** @param {string} title of the page */
  title(title) {
    this.#title = title.replace(/^\(\d+\+?\) /, "");
    this.unread(this.#unread);
  }

  /** @param {string | undefined} unread number of unread chats, as the server formats it */
  unread(unread) {
    this.#unread = unread;
    const title = unread && unread !== "0" ? `(${unread}) ${this.#title}` : this.#title;
    if (document.title !== title) document.title = title;
  }

  #show() {
    const live = this.#streaming && [...this.#parts.values()].every(({ current }) => current);
    document.body.dataset.live = live ? "yes" : "no";
    if (!live) {
      this.#timer ||= window.setTimeout(() => this.#showAge(), PATIENCE_MS);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#banner.hidden = true;
  }

  #showAge() {
    const oldest = Math.min(Date.now(), ...[...this.#parts.values()].map(({ at }) => at));
    const message = text("not_live", { age: age(Date.now() - oldest) });
    // screen readers read each change
    if (this.#message.textContent !== message) this.#message.textContent = message;
    this.#banner.hidden = false;
    this.#timer = window.setTimeout(() => this.#showAge(), TELL_EVERY_MS);
  }
}
