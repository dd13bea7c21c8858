// @ts-check
/**
 * Asks a visitor once for an e-mail address, so that staff can reply after the visitor has left. It
 * is optional.
 */
import { h } from "../shared/dom.js";

export class ContactForm {
  /** The address is stored, and the form shows thanks. */
  thanked = false;
  #text;
  #actions;
  #input = h("input", {
    type: "email",
    id: "contact",
    autocomplete: "email",
    maxlength: "254",
    dir: "auto",
    "aria-describedby": "contact-error",
  });
  #error = h("p", { class: "error", role: "alert", id: "contact-error" });
  #saving = false;
  node = h("form", { class: "contact", novalidate: true, hidden: true });

  /**
   * @param {import("./texts.js").Text} text
   * @param {{ save: (email: string) => Promise<void>, skip: () => void }} actions `save` rejects
   * with the error
   */
  constructor(text, actions) {
    this.#text = text;
    this.#actions = actions;
    this.#input.placeholder = text("contact_example");
    const skip = h("button", { type: "button", class: "plain" }, text("contact_skip"));
    skip.addEventListener("click", actions.skip);
    const save = h("button", { type: "submit", class: "save" }, text("contact_save"));
    this.node.append(
      h("label", { for: "contact" }, text("contact")),
      this.#input,
      this.#error,
      h("div", {}, save, skip),
    );
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#save();
    });
  }

  async #save() {
    const email = this.#input.value.trim();
    if (this.#saving) return;
    if (!email) return this.#wrong(this.#text("contact_wrong"));
    this.#saving = true;
    try {
      await this.#actions.save(email);
      this.thanked = true;
      this.node.replaceChildren(h("p", { role: "status" }, this.#text("contact_saved")));
    } catch (error) {
      this.#wrong(
        /** @type {{ status?: number }} */ (error).status === 422
          ? this.#text("contact_wrong")
          : this.#text("contact_failed"),
      );
    } finally {
      this.#saving = false;
    }
  }

  /** @param {string} text empty for no error */
  #wrong(text) {
    this.#error.textContent = text;
    this.#input.setAttribute("aria-invalid", String(text !== ""));
    if (text) this.#input.focus();
  }
}
