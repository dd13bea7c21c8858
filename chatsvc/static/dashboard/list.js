// @ts-check
/** The list of chats: after each event it fetches the server-rendered list. */
import { arrange } from "../shared/dom.js";
import { fetchDocument } from "./fragments.js";
import { Refresh } from "./refresh.js";
import { localise } from "./times.js";

const BUNDLE_MS = 300; // one fetch for all events in this time

export class List {
  /**
   * The list. It is hidden beside a chat on narrow screens, which need only the number of unread
   * chats.
   */
  node = /** @type {HTMLElement} */ (document.getElementById("list"));
  #status;
  #refresh;
  #open = "";

  /** @param {import("./status.js").Status} status */
  constructor(status) {
    this.#status = status;
    this.#refresh = new Refresh("list", status, () => this.#fetch());
    status.behind("list");
  }

  refresh() {
    return this.#refresh.run();
  }

  wake() {
    this.#refresh.wake();
  }

  get visible() {
    return getComputedStyle(this.node).display !== "none";
  }

  get cards() {
    return /** @type {HTMLElement[]} */ ([...this.node.querySelectorAll(".card")]);
  }

  /** The card from which j and k move: the focused one, else that of the open chat. */
  get chosen() {
    return (
      this.cards.find((card) => card.contains(document.activeElement)) ??
      this.cards.find((card) => card.id === `chat-${this.#open}`)
    );
  }

  /** The URL of the page with this list. */
  get page() {
    return (this.node.dataset.fragment ?? "").replace("/cards", "");
  }

  /**
   * The position of the chosen card, -1 without one. Setting it focuses the card at that position.
   */
  get place() {
    return this.chosen ? this.cards.indexOf(this.chosen) : -1;
  }

  set place(place) {
    if (place >= 0)
      this.cards
        .at(Math.min(place, this.cards.length - 1))
        ?.querySelector("a")
        ?.focus();
  }

  /** @param {number} by -1: up, 1: down */
  move(by) {
    if (this.visible) this.place = this.chosen ? Math.max(0, this.place + by) : 0;
  }

  /** Mark the open chat. @param {string} id empty: none */
  mark(id) {
    this.#open = id;
    for (const link of this.node.querySelectorAll(".card a")) {
      const current = link.parentElement?.id === `chat-${id}`;
      if (current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  async #fetch() {
    const wanted = this.visible;
    const fetched = await fetchDocument(
      (wanted && this.node.dataset.fragment) || "/dashboard/tabs",
    );
    const cards = fetched.getElementById("chats");
    if (cards) this.#show(document.importNode(cards, true));
    this.#status.unread((cards ?? fetched.getElementById("tabs"))?.dataset.unread);
    await new Promise((resolve) => setTimeout(resolve, BUNDLE_MS));
  }

  /** @param {HTMLElement} fresh */
  #show(fresh) {
    const shown = document.getElementById("chats");
    if (!shown) this.node.append(fresh);
    else {
      const focused = document.activeElement?.closest(".card")?.id;
      for (const selector of [".tabs", ".empty", ".pages"]) replace(shown, fresh, selector);
      const cards = [...fresh.querySelectorAll(".card")].map((card) => {
        const old = document.getElementById(card.id); // an unchanged card stays
        return old?.dataset.version === /** @type {HTMLElement} */ (card).dataset.version
          ? /** @type {Element} */ (old)
          : card;
      });
      arrange(/** @type {Element} */ (shown.querySelector(".cards")), cards);
      if (focused && document.activeElement === document.body)
        document.getElementById(focused)?.querySelector("a")?.focus();
    }
    this.mark(this.#open);
    localise(this.node);
  }
}

/** @param {HTMLElement} shown @param {HTMLElement} fresh @param {string} selector */
function replace(shown, fresh, selector) {
  const [old, now] = [shown.querySelector(selector), fresh.querySelector(selector)];
  if (old && now && !old.isEqualNode(now)) old.replaceWith(now);
}
