// @ts-check
/**
 * The forms on a chat's page that are sent without a page load: archive, restore, send or cancel an
 * e-mail.
 */
import { submit } from "./fragments.js";

export class SmallForms {
  #archive;
  #restore;

  /**
   * @param {HTMLElement} node the chat
   * @param {{ done: (form: HTMLFormElement) => void, failed: (reason: string) => void }} actions
   */
  constructor(node, { done, failed }) {
    this.#archive = /** @type {HTMLFormElement} */ (node.querySelector("#archive"));
    this.#restore = /** @type {HTMLFormElement} */ (node.querySelector("#unarchive"));
    node.addEventListener("submit", (event) => {
      const form = /** @type {HTMLFormElement} */ (event.target);
      if (event.defaultPrevented) return; // the reply form handles it
      event.preventDefault();
      failed("");
      submit(form).then(
        () => done(form),
        (error) => failed(error.message),
      );
    });
  }

  archive() {
    if (!this.#archive.hidden) this.#archive.requestSubmit();
  }

  /** @param {boolean} archived */
  show(archived) {
    const [shown, hidden] = archived
      ? [this.#restore, this.#archive]
      : [this.#archive, this.#restore];
    const focused = hidden.contains(document.activeElement);
    hidden.hidden = true;
    shown.hidden = false;
    // keep the focus: the pressed button is hidden
    if (focused) shown.querySelector("button")?.focus();
  }
}
