// @ts-check
/**
 * The panel: header, messages, input. It has no state of the chat and reports what the person does.
 */

import { h, icon } from "../shared/dom.js";
import { CROSS } from "../shared/icons.js";
import { MUTED, SOUND } from "../shared/sound.js";
import { Composer } from "./composer.js";
import { ContactForm } from "./contact-form.js";
import { MessageList } from "./message-list.js";

/**
 * @typedef {object} PanelActions
 * @property {(text: string) => boolean} send false: it cannot be sent now, the text stays
 * @property {(clientId: string) => void} retry
 * @property {(clientId: string) => void} discard
 * @property {() => Promise<void>} older
 * @property {() => void} close
 * @property {() => void} looked the person may have seen new messages
 * @property {(text: string) => unknown} typed
 * @property {() => void} mute switches the sound on or off
 * @property {(email: string) => Promise<void>} save
 * @property {() => void} skip
 */

export class Panel {
  list;
  node = h("section", { class: "panel", role: "dialog", tabindex: "-1", hidden: true });
  #text;
  #actions;
  #composer;
  #contact;
  #heading = h("h2", { dir: "auto" });
  #dot = h("span", { class: "dot" });
  #status = h("span", {});
  #mute = h("button", { type: "button", class: "round mute" });
  #jump = h("button", { type: "button", class: "jump", hidden: true });
  #live = h("div", { class: "hidden", role: "status", "aria-live": "polite" });

  /**
   * @param {import("./texts.js").Text} text
   * @param {string} language
   * @param {PanelActions} actions
   */
  constructor(text, language, actions) {
    this.#text = text;
    this.#actions = actions;
    this.list = new MessageList(text, language, {
      older: actions.older,
      scrolled: () => this.#scrolled(),
      // the pressed button disappears: keep the focus in the panel
      retry: (clientId) => {
        actions.retry(clientId);
        this.focus();
      },
      discard: (clientId) => {
        actions.discard(clientId);
        this.focus();
      },
    });
    this.#composer = new Composer(text, actions);
    this.#contact = new ContactForm(text, actions);
    this.node.lang = language;
    this.#draw();
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

  /** @param {"live" | "polling" | "connecting" | "offline" | "idle"} status */
  status(status) {
    this.#dot.className = `dot ${status}`;
    const text = this.#text(`status_${status}`);
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }

  /** @param {boolean} muted */
  muted(muted) {
    this.#mute.setAttribute("aria-pressed", String(!muted));
    this.#mute.replaceChildren(icon(muted ? MUTED : SOUND));
  }

  /** Show or hide the question for an e-mail address. @param {boolean} asked */
  askContact(asked) {
    if (!this.#contact.thanked) this.#contact.node.hidden = !asked;
  }

  focus() {
    this.#composer.focus();
  }

  /** @param {boolean} open */
  show(open) {
    this.node.hidden = !open;
    if (!open) return;
    this.#composer.grow();
    this.list.toEnd();
    // on a phone the keyboard would cover the conversation
    if (matchMedia("(pointer: coarse)").matches) this.node.focus();
    else this.#composer.focus();
  }

  /** @param {string} text for screen readers */
  announce(text) {
    this.#live.textContent = text;
  }
  get text() {
    return this.#composer.text;
  }
  set text(value) {
    this.#composer.text = value;
  }

  #draw() {
    const close = h(
      "button",
      { type: "button", class: "round close", "aria-label": this.#text("close") },
      icon(CROSS),
    );
    close.addEventListener("click", () => this.#actions.close());
    this.#mute.setAttribute("aria-label", this.#text("sound"));
    this.#mute.addEventListener("click", () => this.#actions.mute());
    this.node.append(
      h(
        "header",
        {},
        h(
          "div",
          {},
          this.#heading,
          h("p", { class: "status", role: "status" }, this.#dot, this.#status),
        ),
        this.#mute,
        close,
      ),
      this.list.node,
      h("div", { class: "foot" }, this.#jump, this.#contact.node, ...this.#composer.nodes),
      this.#live,
    );
  }

  #listen() {
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) this.#actions.close();
    });
    this.#jump.addEventListener("click", () => {
      this.list.toEnd();
      this.#scrolled();
      this.#composer.focus();
    });
  }

  #scrolled() {
    const { unseen } = this.list;
    this.#jump.hidden = unseen === 0;
    this.#jump.textContent = `${this.#text("new_messages", { n: unseen })} ↓`;
    this.#actions.looked();
  }
}
