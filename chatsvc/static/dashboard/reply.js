// @ts-check
/** The reply form: keeps what is typed, sends it once, and gives the text back with the reason when it could not be sent. */
import { draft, keepDraft } from "../widget/drafts.js";
import { post } from "./fragments.js";

export class Reply {
  #form = /** @type {HTMLFormElement} */ (document.getElementById("reply"));
  #input = /** @type {HTMLTextAreaElement} */ (document.getElementById("content"));
  #button = /** @type {HTMLButtonElement} */ (this.#form.querySelector("button.primary"));
  #problem = /** @type {HTMLElement} */ (document.getElementById("problem"));
  #chat;
  #sent;
  /** The same text is the same message, however often it is tried. */
  #attempt = { text: "", clientId: "" };

  /** @param {string} chat id @param {() => void} sent */
  constructor(chat, sent) {
    this.#chat = chat;
    this.#sent = sent;
    this.#input.value ||= draft(this.#key);
    this.#input.addEventListener("input", () => keepDraft(this.#key, this.#input.value));
    this.#input.addEventListener("keydown", (event) => this.#pressed(event));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
  }

  get #key() {
    return `dashboard:draft:${this.#chat}`;
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  async #send() {
    const text = this.#input.value.trim();
    if (!text || this.#button.disabled) return;
    if (this.#attempt.text !== text) this.#attempt = { text, clientId: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    this.#button.disabled = true;
    this.#problem.textContent = "";
    try {
      await post(`/admin/chats/${this.#chat}/messages`, { content: text, client_id: this.#attempt.clientId });
      this.#done(text);
    } catch (error) {
      this.#problem.textContent = error instanceof Error ? error.message : String(error);
    }
    this.#button.disabled = false;
  }

  /** @param {string} text */
  #done(text) {
    this.#attempt = { text: "", clientId: "" };
    if (this.#input.value.trim() === text) this.#input.value = ""; // what was typed on meanwhile stays
    keepDraft(this.#key, this.#input.value);
    this.#sent();
  }
}
