// @ts-check
/** The panel: header, messages, input. Shows what it is given and says what the person does. */
import { h, icon } from "./dom.js";
import { CROSS } from "./launcher.js";
import { MessageList } from "./message-list.js";
import { fill } from "./strings.js";

const MAX_CHARACTERS = 10_000; // as the server counts them: code points
const SEND_ICON = "M3 20.5 21.5 12 3 3.5v6.6L15 12 3 13.9z";

/**
 * @typedef {object} PanelActions
 * @property {(text: string) => boolean} send false: not now, the text stays
 * @property {(clientId: string) => void} retry
 * @property {() => Promise<void>} older
 * @property {() => void} close
 * @property {() => void} looked the person may have seen something new
 * @property {(text: string) => unknown} typed
 */

export class Panel {
  list;
  node = h("section", { class: "panel", role: "dialog", tabindex: "-1", hidden: true });
  #strings; #actions;
  #heading = h("h2", { dir: "auto" });
  #dot = h("span", { class: "dot" });
  #status = h("span", {});
  #jump = h("button", { type: "button", class: "jump", hidden: true });
  #error = h("p", { class: "error", role: "alert" });
  #input = h("textarea", { rows: "1", dir: "auto", enterkeyhint: "send", autocomplete: "off" });
  #send = h("button", { type: "submit", class: "send", "aria-disabled": "true" }, icon(SEND_ICON));
  #live = h("div", { class: "hidden", role: "status", "aria-live": "polite" });

  /** @param {import("./strings.js").Strings} strings @param {string} language @param {PanelActions} actions */
  constructor(strings, language, actions) {
    this.#strings = strings;
    this.#actions = actions;
    this.list = new MessageList(strings, language, { retry: actions.retry, older: actions.older, scrolled: () => this.#scrolled() });
    this.node.lang = language;
    this.#label();
    this.#listen();
  }

  /** @param {string} heading @param {string} greeting */
  name(heading, greeting) {
    this.#heading.textContent = heading;
    this.node.setAttribute("aria-label", heading);
    this.list.greet(greeting);
  }

  /** @param {import("./message-store.js").ChatState} state @param {boolean} sent */
  render(state, sent) {
    this.list.render(state, sent);
    this.#scrolled();
  }

  /** @param {"live" | "connecting" | "offline" | "idle"} status */
  status(status) {
    this.#dot.className = `dot ${status}`;
    if (this.#status.textContent !== this.#strings[status]) this.#status.textContent = this.#strings[status];
  }

  /** @param {boolean} open */
  show(open) {
    this.node.hidden = !open;
    if (!open) return;
    this.#grow();
    this.list.toEnd();
    // on a phone the keyboard would cover the conversation before anything was read
    if (matchMedia("(pointer: coarse)").matches) this.node.focus();
    else this.#input.focus();
  }

  /** @param {string} text to be read out */
  announce(text) { this.#live.textContent = text; }

  get text() {
    return this.#input.value;
  }

  set text(value) {
    this.#input.value = value;
    this.#typed();
  }

  #label() {
    const strings = this.#strings;
    const close = h("button", { type: "button", class: "close", "aria-label": strings.close }, icon(CROSS));
    close.addEventListener("click", () => this.#actions.close());
    this.#input.placeholder = strings.placeholder;
    this.#input.setAttribute("aria-label", strings.input);
    this.#send.setAttribute("aria-label", strings.send);
    this.node.append(
      h("header", {}, h("div", {}, this.#heading, h("p", { class: "status", role: "status" }, this.#dot, this.#status)), close),
      this.list.node,
      this.#error,
      h("form", {}, this.#jump, this.#input, this.#send),
      this.#live,
    );
  }

  #listen() {
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) this.#actions.close();
    });
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener("input", () => this.#typed());
    this.#input.addEventListener("keydown", (event) => {
      const composing = event.isComposing || event.keyCode === 229; // Safari ends the composition before this event
      if (event.key !== "Enter" || event.shiftKey || composing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#jump.addEventListener("click", () => {
      this.list.toEnd();
      this.#scrolled();
      this.#input.focus();
    });
  }

  #submit() {
    const text = this.text.trim();
    const length = [...text].length;
    this.#error.textContent = length > MAX_CHARACTERS ? fill(this.#strings.tooLong, { n: length, max: MAX_CHARACTERS }) : "";
    if (!text || length > MAX_CHARACTERS || !this.#actions.send(text)) return;
    this.text = "";
    this.#input.focus();
  }

  #typed() {
    this.#send.setAttribute("aria-disabled", String(!this.text.trim()));
    this.#grow();
    this.#actions.typed(this.text);
  }

  #grow() {
    this.#input.style.blockSize = "auto";
    if (this.#input.scrollHeight) this.#input.style.blockSize = `${this.#input.scrollHeight + 2}px`; // 2 px: its borders
  }

  #scrolled() {
    const { unseen } = this.list;
    this.#jump.hidden = unseen === 0;
    this.#jump.textContent = `${fill(unseen === 1 ? this.#strings.newMessage : this.#strings.newMessages, { n: unseen })} ↓`;
    this.#actions.looked();
  }
}
