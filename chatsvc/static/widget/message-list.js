// @ts-check
/** The list of messages. It scrolls to the end unless the person reads further up. */
import { clockFormat } from "../shared/clock.js";
import { dayNames, dayOf } from "../shared/days.js";
import { arrange, h } from "../shared/dom.js";
import { MessageView, stored, unsent } from "./message-view.js";

const AT_END_PX = 48; // about two lines: within this distance, the person reads the end
const NEAR_TOP_PX = 120; // fetch older messages a little before they are needed

/** @typedef {import("./message-store.js").ChatState} ChatState */

export class MessageList {
  /** Number of messages that arrived below while the person read further up. */
  unseen = 0;
  node = h("ol", { class: "list", role: "list", tabindex: "0" });
  #actions;
  #text;
  #greeting = "";
  #time;
  #dayName;
  /** @type {Map<string, MessageView>} */ #views = new Map();
  /** @type {Map<string, HTMLElement>} */ #days = new Map();
  #note = h("li", { class: "note" });
  #hello = h("li", { class: "greeting", dir: "auto" });
  #last = 0;
  #following = true;
  #loading = false;

  /**
   * @param {import("./texts.js").Text} text
   * @param {string} language
   * @param {{ retry: (clientId: string) => void, discard: (clientId: string) => void, older: () =>
   * Promise<void>, scrolled: () => void }} actions
   */
  constructor(text, language, actions) {
    this.#text = text;
    this.#actions = actions;
    const clock = clockFormat(language);
    this.#time = (/** @type {Date} */ at) => clock.format(at);
    this.#dayName = dayNames(language);
    this.node.setAttribute("aria-label", text("messages"));
    // a growing foot must not cover the end
    new ResizeObserver(() => this.#following && this.toEnd()).observe(this.node);
    this.node.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.node.addEventListener("click", ({ target }) => {
      const { retry, discard } = target instanceof HTMLElement ? target.dataset : {};
      if (retry) actions.retry(retry);
      if (discard) actions.discard(discard);
    });
  }

  /** @param {string} text shown above the first message */
  greet(text) {
    this.#greeting = text;
    this.#hello.textContent = text;
  }

  get atEnd() {
    return this.node.scrollHeight - this.node.scrollTop - this.node.clientHeight <= AT_END_PX;
  }

  toEnd() {
    this.node.scrollTop = this.node.scrollHeight;
    this.#following = true;
    this.unseen = 0;
  }

  /** @param {ChatState} state @param {boolean} sent the change is an own message: scroll to it */
  render(state, sent) {
    const follow = sent || this.atEnd;
    const top = this.node.getBoundingClientRect().top;
    const anchor = [...this.node.querySelectorAll(".message")].find(
      (message) => message.getBoundingClientRect().bottom > top,
    );
    const before = anchor?.getBoundingClientRect().top ?? 0;
    arrange(this.node, this.#nodes(state));
    const newest = state.messages.at(-1)?.seq ?? 0;
    if (follow) this.toEnd();
    else {
      if (anchor?.isConnected) this.node.scrollTop += anchor.getBoundingClientRect().top - before;
      this.unseen += state.messages.filter(
        (message) => message.seq > this.#last && message.sender_type === "admin",
      ).length;
    }
    this.#last = Math.max(this.#last, newest);
  }

  /** @param {ChatState} state */
  #nodes(state) {
    const shown = [...state.messages.map(stored), ...state.outgoing.map(unsent)];
    const lastOwn = state.messages.findLast((message) => message.sender_type === "user")?.seq ?? 0;
    const lastSeen =
      state.messages.findLast(
        (message) => message.sender_type === "user" && message.seq <= state.viewedUpTo,
      )?.seq ?? 0;
    const marks = new Map([
      [lastOwn, this.#text("sent")],
      [lastSeen, this.#text("seen")],
    ]); // "Seen" replaces "Sent" on the same message
    /** @type {Element[]} */
    const nodes = state.hasMore ? [this.#note] : this.#greeting ? [this.#hello] : [];
    shown.forEach((item, index) => {
      const [before, after] = [shown[index - 1], shown[index + 1]];
      const newDay = !before || dayOf(before.at) !== dayOf(item.at);
      if (newDay) nodes.push(this.#day(item.at));
      const view = this.#views.get(item.key) ?? new MessageView();
      this.#views.set(item.key, view);
      const first = newDay || before.own !== item.own;
      const last = !after || after.own !== item.own || dayOf(after.at) !== dayOf(item.at);
      view.update(
        item,
        { first, last, mark: marks.get(state.messages[index]?.seq ?? -1) ?? "" },
        this.#text,
        this.#time,
      );
      nodes.push(view.node);
    });
    return nodes;
  }

  /** @param {Date} at */
  #day(at) {
    const key = dayOf(at);
    const node = this.#days.get(key) ?? h("li", { class: "day" });
    this.#days.set(key, node);
    const text = this.#dayName(at);
    if (node.textContent !== text) node.textContent = text;
    return node;
  }

  #scrolled() {
    this.#following = this.atEnd;
    if (this.#following) this.unseen = 0;
    this.#actions.scrolled();
    if (this.node.scrollTop < NEAR_TOP_PX && this.node.clientHeight > 0) void this.#older();
  }

  async #older() {
    if (this.#loading) return;
    this.#loading = true;
    this.#note.textContent = this.#text("older");
    try {
      await this.#actions.older();
      this.#note.textContent = "";
    } catch {
      this.#note.textContent = this.#text("older_failed"); // scrolling up retries
    }
    this.#loading = false;
  }
}
