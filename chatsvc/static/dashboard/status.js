// @ts-check
/**
 * Says when what is on screen may be out of date, and how old it is. The screen has parts (the list, the open chat); it
 * is live while the stream is open and every part was fetched since it opened. And the number of unread chats in the title.
 */
import { text } from "./texts.js";
import { age } from "./times.js";

const PATIENCE_MS = 2000; // a restart that is over at once is not worth a word
const TELL_EVERY_MS = 10_000; // how old it is, in words

/** @typedef {"list" | "chat"} Part */

export class Status {
  #banner = /** @type {HTMLElement} */ (document.getElementById("stale"));
  #words = document.createElement("span");
  #title = document.title.replace(/^\(\d+\+?\) /, "");
  #unread = document.getElementById("chats")?.dataset.unread ?? document.body.dataset.unread;
  /** @type {Map<Part, { at: number, current: boolean }>} `at`: when it was known to be current, milliseconds */
  #parts = new Map();
  #streaming = false;
  #timer = 0;

  /** @param {() => void} retry what the banner's button does */
  constructor(retry) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text("try_now");
    button.addEventListener("click", retry);
    this.#banner.replaceChildren(this.#words, button);
  }

  /** The stream is open. */
  streaming() {
    this.#streaming = true;
    this.#show();
  }

  /** The stream is gone. @param {number} at when it last gave a sign of life */
  lost(at) {
    for (const [name, part] of this.#parts)
      if (part.current) this.#parts.set(name, { at, current: false });
    this.#streaming = false;
    this.#show();
  }

  /** This part is on screen as the server has it now. @param {Part} part */
  current(part) {
    this.#parts.set(part, { at: Date.now(), current: this.#streaming });
    this.#show();
  }

  /** What was announced could not be fetched, or is still to be fetched. @param {Part} part */
  behind(part) {
    const known = this.#parts.get(part);
    if (known?.current ?? true) this.#parts.set(part, { at: Date.now(), current: false });
    this.#show();
  }

  /** It is no longer on screen. @param {Part} part */
  gone(part) {
    this.#parts.delete(part);
    this.#show();
  }

  /** @param {string} title of the page */
  title(title) {
    this.#title = title.replace(/^\(\d+\+?\) /, "");
    this.unread(this.#unread);
  }

  /** @param {string | undefined} unread number of unread chats, as the server words it */
  unread(unread) {
    this.#unread = unread;
    const title = unread && unread !== "0" ? `(${unread}) ${this.#title}` : this.#title;
    if (document.title !== title) document.title = title;
  }

  #show() {
    const live = this.#streaming && [...this.#parts.values()].every(({ current }) => current);
    document.body.dataset.live = live ? "yes" : "no";
    if (!live) {
      this.#timer ||= window.setTimeout(() => this.#tell(), PATIENCE_MS);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#banner.hidden = true;
  }

  #tell() {
    const oldest = Math.min(Date.now(), ...[...this.#parts.values()].map(({ at }) => at));
    const words = text("not_live", { age: age(Date.now() - oldest) });
    if (this.#words.textContent !== words) this.#words.textContent = words; // each change is read out
    this.#banner.hidden = false;
    this.#timer = window.setTimeout(() => this.#tell(), TELL_EVERY_MS);
  }
}
