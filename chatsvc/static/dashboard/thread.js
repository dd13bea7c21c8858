// @ts-check
/** The messages of the open chat: put in by id, so that nothing can double, in order of seq, with a divider per day. */
import { h } from "../widget/dom.js";
import { linked } from "../widget/links.js";
import { dayOf } from "../widget/message-view.js";
import { day, localise } from "./times.js";

const AT_END_PX = 60;

export class Thread {
  node = /** @type {HTMLElement} */ (document.getElementById("messages"));
  scroll = /** @type {HTMLElement} */ (document.querySelector(".scroll"));
  #jump = /** @type {HTMLElement} */ (document.getElementById("jump"));
  #empty = /** @type {HTMLElement} */ (this.scroll.querySelector(".empty"));

  constructor() {
    this.#dress(this.items);
    this.toEnd();
    this.#jump.addEventListener("click", () => this.toEnd());
    this.scroll.addEventListener("scroll", () => this.atEnd && (this.#jump.hidden = true), { passive: true });
  }

  get items() {
    return /** @type {HTMLElement[]} */ ([...this.node.querySelectorAll(".message")]);
  }

  /** @returns {number} the newest seq on screen, 0 without one */
  get lastSeq() {
    return seqOf(this.items.at(-1));
  }

  get firstSeq() {
    return seqOf(this.items[0]);
  }

  get atEnd() {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight <= AT_END_PX;
  }

  toEnd() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.#jump.hidden = true;
  }

  /** @param {Document} fetched a fragment with messages @returns {boolean} there are more of them */
  insert(fetched) {
    const list = /** @type {HTMLElement} */ (fetched.getElementById("messages"));
    const fresh = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".message")])
      .filter((item) => !document.getElementById(item.id))
      .map((item) => document.importNode(item, true));
    const follow = this.atEnd;
    const fromEnd = this.scroll.scrollHeight - this.scroll.scrollTop;
    const newer = seqOf(fresh.at(-1)) > this.lastSeq;
    for (const item of fresh) this.node.insertBefore(item, this.items.find((other) => seqOf(other) > seqOf(item)) ?? null);
    this.#dress(fresh);
    if (follow && newer) this.toEnd();
    else if (newer) this.#jump.hidden = false;
    else this.scroll.scrollTop = this.scroll.scrollHeight - fromEnd; // older ones came in above: what was read stays in place
    return list.hasAttribute("data-more");
  }

  /** @param {number} upTo the user has read so far */
  markRead(upTo) {
    for (const item of this.items) if (item.classList.contains("own") && seqOf(item) <= upTo) item.toggleAttribute("data-read", true);
  }

  /** What the server cannot know: the reader's time zone. And links, which are a comfort. @param {HTMLElement[]} items */
  #dress(items) {
    for (const item of items) {
      const bubble = /** @type {HTMLElement} */ (item.querySelector(".bubble"));
      bubble.replaceChildren(...linked(bubble.textContent ?? ""));
      localise(item);
    }
    this.#empty.hidden = this.items.length > 0;
    this.#divide();
  }

  #divide() {
    for (const divider of this.node.querySelectorAll(".day")) divider.remove();
    let before = "";
    for (const item of this.items) {
      const at = new Date(item.querySelector("time")?.getAttribute("datetime") ?? "");
      if (dayOf(at) !== before) item.before(h("li", { class: "day" }, h("time", { datetime: dayOf(at) }, day(at))));
      before = dayOf(at);
    }
  }
}

/** @param {HTMLElement | undefined} item */
function seqOf(item) {
  return Number(item?.dataset["seq"] ?? 0);
}
