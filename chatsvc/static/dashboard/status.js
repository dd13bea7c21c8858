// @ts-check
/** Says when the page is not live, with the age of what is on screen; and puts the number of unread chats into the title. */
import { ago } from "./times.js";

const PATIENCE_MS = 2000; // a restart that is over at once is not worth a word
const REFRESH_MS = 10_000;

export class Status {
  #banner = /** @type {HTMLElement} */ (document.getElementById("stale"));
  #title = document.title.replace(/^\(\d+\+?\) /, "");
  #currentAt = new Date();
  #timer = 0;

  /** Everything on screen is as the server has it now, and stays so. */
  live() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#banner.hidden = true;
    document.body.dataset["live"] = "yes";
  }

  /** The stream is gone, or what it announced could not be fetched. */
  lost() {
    document.body.dataset["live"] = "no";
    if (this.#timer) return;
    this.#currentAt = new Date();
    const show = () => {
      this.#banner.textContent = `Not connected. What you see is from ${ago(this.#currentAt)}. Connecting again…`;
      this.#banner.hidden = false;
    };
    this.#timer = window.setTimeout(() => {
      show();
      this.#timer = window.setInterval(show, REFRESH_MS);
    }, PATIENCE_MS);
  }

  /** @param {string | undefined} unread number of unread chats, as the server words it */
  unread(unread) {
    document.title = unread && unread !== "0" ? `(${unread}) ${this.#title}` : this.#title;
  }
}
