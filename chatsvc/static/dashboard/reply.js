// @ts-check
/**
 * The reply form: stores drafts, sends a text once, and keeps it with the reason if it could not be
 * sent.
 */
import { draft, keepDraft } from "../shared/drafts.js";
import { characters, grow, MAX_CHARACTERS, sends, trimmed } from "../shared/text-input.js";
import { uuid } from "../shared/uuid.js";
import { post, Refused } from "./fragments.js";
import { text } from "./texts.js";

export class Reply {
  #chat;
  #sent;
  #form;
  #input;
  #button;
  #problem;

  /** @param {HTMLElement} node @param {string} chat id @param {() => void} sent */
  constructor(node, chat, sent) {
    const find = (/** @type {string} */ selector) => node.querySelector(selector);
    this.#chat = chat;
    this.#sent = sent;
    this.#form = /** @type {HTMLFormElement} */ (find("#reply"));
    this.#input = /** @type {HTMLTextAreaElement} */ (find("#content"));
    this.#button = /** @type {HTMLButtonElement} */ (this.#form.querySelector(".primary"));
    this.#problem = /** @type {HTMLElement} */ (find("#problem"));
    this.#input.value ||= draft(this.#key("draft"));
    this.#input.addEventListener("input", () => this.#typed());
    this.#input.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
    grow(this.#input);
  }

  focus() {
    this.#input.focus();
  }

  /** @param {string} reason shown beside the input; empty for none */
  explain(reason) {
    this.#problem.textContent = reason;
  }

  /**
   * Clear the input if its text is stored although the response was lost.
   * @param {HTMLElement[]} items stored messages
   */
  settle(items) {
    const attempt = this.#attempt;
    if (attempt.clientId && items.some((item) => item.dataset.client === attempt.clientId))
      this.#done(attempt.text);
  }

  /** @param {"draft" | "attempt"} what */
  #key(what) {
    return `dashboard:${what}:${this.#chat}`;
  }

  /** The last attempt: the same text is sent under the same id, also after a page load. */
  get #attempt() {
    const [clientId = "", ...lines] = draft(this.#key("attempt")).split("\n");
    return { clientId, text: lines.join("\n") };
  }

  #typed() {
    keepDraft(this.#key("draft"), this.#input.value);
    grow(this.#input);
  }

  async #send() {
    const content = trimmed(this.#input.value);
    if (!content || this.#button.disabled) return;
    if (characters(content) > MAX_CHARACTERS)
      return this.explain(text("failed_too_long", { n: MAX_CHARACTERS }));
    const clientId = this.#attempt.text === content ? this.#attempt.clientId : uuid();
    keepDraft(this.#key("attempt"), `${clientId}\n${content}`);
    this.#button.disabled = true;
    this.explain("");
    try {
      await post(`/admin/chats/${this.#chat}/messages`, { content, client_id: clientId });
      this.#done(content);
      this.#sent();
    } catch (error) {
      this.#failed(/** @type {Error} */ (error), clientId);
    }
    this.#button.disabled = false;
  }

  /** @param {Error} error @param {string} clientId */
  #failed(error, clientId) {
    if (this.#attempt.clientId !== clientId) return; // the stream has already brought the message
    // this id is used up
    if (error instanceof Refused && error.status === 409) keepDraft(this.#key("attempt"), "");
    this.explain(`${error.message} ${text("kept")}`);
  }

  /** @param {string} content */
  #done(content) {
    keepDraft(this.#key("attempt"), "");
    this.explain("");
    const value = this.#input.value;
    const at = value.indexOf(content);
    if (at >= 0 && !value.slice(0, at).trim())
      // keep text that was typed meanwhile
      this.#input.value = value.slice(at + content.length).trimStart();
    this.#typed();
  }
}
