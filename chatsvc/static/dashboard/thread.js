// @ts-check
/** The messages of the open chat, each once, in the order of seq, with a divider per day. */
import { dayOf } from "../shared/days.js";
import { h } from "../shared/dom.js";
import { linked } from "../shared/links.js";
import { text } from "./texts.js";
import { dayName, localise } from "./times.js";

const AT_END_PX = 60; // about two lines: within this distance, the person reads the end

export class Thread {
  scroll;
  /** True if there are newer messages than those on screen. */
  apart;
  #list;
  #jump;
  #empty;
  #announcer;
  #person;
  #unseen = 0;

  /** @param {HTMLElement} chat */
  constructor(chat) {
    const find = (/** @type {string} */ selector) =>
      /** @type {HTMLElement} */ (chat.querySelector(selector));
    this.apart = chat.hasAttribute("data-apart");
    this.scroll = find(".scroll");
    this.#list = find("#messages");
    this.#jump = find("#jump");
    this.#empty = find(".scroll .empty");
    this.#announcer = find("#announcer");
    this.#person = chat.dataset.person ?? "";
    this.items.forEach(enhance);
    this.divide();
    this.scroll.addEventListener("scroll", () => this.atEnd && !this.apart && this.#count(0), {
      passive: true,
    });
  }

  get items() {
    return /** @type {HTMLElement[]} */ ([...this.#list.querySelectorAll(".message")]);
  }

  /** The newest seq on screen, or 0. */
  get lastSeq() {
    return seqOf(this.items.at(-1));
  }

  /** Return the id of a message on screen, empty if it is not there. @param {number} seq */
  idOf(seq) {
    return this.items.find((item) => seqOf(item) === seq)?.dataset.message ?? "";
  }

  /** The seq of the user's newest message on screen, or 0. */
  get lastTheirs() {
    return seqOf(this.items.findLast((item) => item.classList.contains("theirs")));
  }

  get firstSeq() {
    return seqOf(this.items[0]);
  }

  /** The seq of the oldest staff message on screen that the user has not read, or 0. */
  get firstUnread() {
    return seqOf(this.items.find((item) => item.matches(".own:not([data-read])")));
  }

  /**
   * The list is laid out from its end (column-reverse in style.css): scrollTop is 0 there and
   * negative above.
   */
  get atEnd() {
    return this.scroll.scrollTop >= -AT_END_PX;
  }

  toEnd() {
    this.scroll.scrollTop = 0;
    this.#count(0);
  }

  /**
   * Insert or update messages.
   * @param {Document} fetched fragment with messages
   * @returns {HTMLElement[]} the new ones at the end, in order
   */
  insert(fetched) {
    const list = /** @type {HTMLElement} */ (fetched.getElementById("messages"));
    const items = [...list.querySelectorAll(".message")].map((item) =>
      document.importNode(/** @type {HTMLElement} */ (item), true),
    );
    const [last, follow, height] = [
      this.lastSeq,
      this.atEnd && !this.apart,
      this.scroll.scrollHeight,
    ];
    for (const item of items) this.#put(enhance(item));
    this.divide();
    const below = items.filter((item) => seqOf(item) > last);
    if (below.length && follow) this.toEnd();
    // keep the scroll position
    else if (below.length) this.scroll.scrollTop -= this.scroll.scrollHeight - height;
    if (!this.apart) this.#announce(below, follow);
    return below;
  }

  /** All newer messages are on screen now. */
  join() {
    this.apart = false;
    this.scroll.querySelector("#latest")?.remove();
  }

  /** Count a message that arrived but is not loaded. */
  missed() {
    this.#count(this.#unseen + 1);
  }

  /** @param {number} upTo seq of the last message that the user has read */
  markRead(upTo) {
    for (const item of this.items)
      if (item.classList.contains("own") && seqOf(item) <= upTo)
        item.toggleAttribute("data-read", true);
  }

  /** Insert a message, or replace it if its status has changed. @param {HTMLElement} item */
  #put(item) {
    const shown = document.getElementById(item.id);
    if (!shown)
      this.#list.insertBefore(item, this.items.find((other) => seqOf(other) > seqOf(item)) ?? null);
    if (!shown || shown.isEqualNode(item)) return;
    const focused = shown.contains(document.activeElement);
    shown.replaceWith(item);
    if (focused)
      /** @type {HTMLElement} */ (item.querySelector("button") ?? this.scroll).focus({
        preventScroll: true,
      });
  }

  /** Put a divider before the first message of each day. */
  divide() {
    this.#empty.hidden = this.items.length > 0;
    for (const divider of this.#list.querySelectorAll(".day")) divider.remove();
    let before = "";
    for (const item of this.items) {
      const at = new Date(item.querySelector("time")?.getAttribute("datetime") ?? "");
      if (dayOf(at) !== before)
        item.before(h("li", { class: "day" }, h("time", { datetime: dayOf(at) }, dayName(at))));
      before = dayOf(at);
    }
  }

  /**
   * Announce new messages to screen readers, and count them if the person reads further up.
   * @param {HTMLElement[]} below
   * @param {boolean} followed
   */
  #announce(below, followed) {
    if (!followed) this.#count(this.#unseen + below.length);
    const last = below
      .findLast((item) => item.classList.contains("theirs"))
      ?.querySelector(".bubble")?.textContent;
    if (last) this.#announcer.textContent = `${this.#person}: ${last}`;
  }

  /**
   * @param {number} unseen number of messages that arrived below while the person read further up
   */
  #count(unseen) {
    this.#unseen = unseen;
    this.#jump.hidden = unseen === 0;
    this.#jump.textContent = `${text("new_messages", { n: unseen })} ↓`;
  }
}

/** Add links, and times in the reader's time zone. @param {HTMLElement} item */
function enhance(item) {
  const bubble = /** @type {HTMLElement} */ (item.querySelector(".bubble"));
  bubble.replaceChildren(...linked(bubble.textContent ?? ""));
  localise(item);
  return item;
}

/** @param {HTMLElement | undefined} item */
function seqOf(item) {
  return Number(item?.dataset.seq ?? 0);
}
