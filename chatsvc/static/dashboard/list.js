// @ts-check
/** The list of chats: an event is the signal, the server renders what is shown. */
import { arrange } from "../shared/dom.js";
import { fetchDocument } from "./fragments.js";
import { Refresh } from "./refresh.js";
import { localise } from "./times.js";

const BUNDLE_MS = 300; // many events in a short time are answered by one fetch

export class List {
  /** Where the list goes, beside the chat where there is room; elsewhere only the number of unread chats is of interest. */
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

  /** Where j and k go on from: the card that has the focus, else that of the open chat. */
  get chosen() {
    return (
      this.cards.find((card) => card.contains(document.activeElement)) ??
      this.cards.find((card) => card.id === `chat-${this.#open}`)
    );
  }

  /** The address of the page that shows the list as it is here. */
  get page() {
    return (this.node.dataset.fragment ?? "").replace("/cards", "");
  }

  /** The place of the chosen card in the list, -1 without one; the one there now gets the focus when it is set. */
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

  /** @param {number} by -1: the card above, 1: the one below */
  move(by) {
    if (this.visible) this.place = this.chosen ? Math.max(0, this.place + by) : 0;
  }

  /** Shows which chat is open. @param {string} id empty: none */
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
        const old = document.getElementById(card.id); // a card that did not change stays
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
