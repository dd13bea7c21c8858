// @ts-check
/**
 * Opens chats without a page load where the list is beside the chat. On narrow screens links load
 * pages.
 */
import { fetchDocument, Refused } from "./fragments.js";

const WIDE = matchMedia("(min-width: 1100px)"); // as in style.css
const LINKS = ".card a, .back, #latest";

export class Navigation {
  #shown;
  #failed;
  #turn = 0;
  #page = page(); // the page in the address bar

  /**
   * @param {{ shown: () => void, failed: () => void, resized: () => void }} actions shown: the chat
   * in the page was replaced
   */
  constructor({ shown, failed, resized }) {
    this.#shown = shown;
    this.#failed = failed;
    document.addEventListener("click", (event) => this.#clicked(event));
    window.addEventListener("popstate", () => this.#moved());
    WIDE.addEventListener("change", resized);
  }

  /** @param {string} url */
  async go(url) {
    if (!WIDE.matches) location.assign(url);
    else await this.#show(url, true);
  }

  /** Back or forward in the history, unless the fragment alone changed. */
  #moved() {
    if (page() === this.#page) return;
    this.#page = page(); // before the fetch, so that going back meanwhile is noticed
    if (WIDE.matches) void this.#show(location.href, false);
    else location.reload();
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const link =
      event.target instanceof Element
        ? /** @type {HTMLAnchorElement | null} */ (event.target.closest(LINKS))
        : null;
    const plain =
      event.button === 0 &&
      !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.defaultPrevented);
    if (!link || !plain || !WIDE.matches) return;
    event.preventDefault();
    void this.go(link.href);
  }

  /** @param {string} url @param {boolean} push add an entry to the history */
  async #show(url, push) {
    const turn = ++this.#turn;
    const fetched = await fetchDocument(url).catch((error) => {
      if (turn === this.#turn) this.#refused(url, error);
    });
    const fresh = fetched?.getElementById("chat");
    if (turn !== this.#turn || !fetched || !fresh) return; // another link was clicked meanwhile
    if (push) history.pushState(null, "", url);
    this.#page = page();
    document.getElementById("chat")?.replaceWith(document.importNode(fresh, true));
    document.body.className = fetched.body.className;
    document.title = fetched.title;
    this.#shown();
  }

  /** @param {string} url @param {Error} error */
  #refused(url, error) {
    if (error instanceof Refused)
      location.assign(url); // its error page explains
    else this.#failed();
  }
}

/** Return the address without the fragment. */
function page() {
  return location.pathname + location.search;
}
