// @ts-check
/**
 * The form for a message: it grows with the text, sends on Enter, and says if the text is too long.
 */
import { h, icon } from "../shared/dom.js";
import { characters, grow, MAX_CHARACTERS, sends, trimmed } from "../shared/text-input.js";

const SEND_ICON = "M3 20.5 21.5 12 3 3.5v6.6L15 12 3 13.9z";

export class Composer {
  #text;
  #send;
  #typed;
  #error = h("p", { class: "error", role: "alert" });
  #input = h("textarea", { rows: "1", dir: "auto", enterkeyhint: "send", autocomplete: "off" });
  #button = h(
    "button",
    { type: "submit", class: "send", "aria-disabled": "true" },
    icon(SEND_ICON),
  );
  node = h("form", { class: "composer", novalidate: true }, this.#input, this.#button);
  nodes = [this.#error, this.node];

  /**
   * @param {import("./texts.js").Text} text
   * @param {{ send: (text: string) => boolean, typed: (text: string) => unknown }} actions `send`
   * returns false if it cannot send now: the text stays
   */
  constructor(text, { send, typed }) {
    this.#text = text;
    this.#send = send;
    this.#typed = typed;
    this.#input.placeholder = text("placeholder");
    this.#input.setAttribute("aria-label", text("input"));
    this.#button.setAttribute("aria-label", text("send"));
    this.#listen();
  }

  focus() {
    this.#input.focus();
  }

  get text() {
    return this.#input.value;
  }

  set text(value) {
    this.#input.value = value;
    this.#changed();
  }

  grow() {
    grow(this.#input);
  }

  #listen() {
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#input.addEventListener("input", () => this.#changed());
    this.#input.addEventListener("keydown", (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      this.#submit();
    });
  }

  #submit() {
    const text = trimmed(this.text);
    const length = characters(text);
    this.#error.textContent =
      length > MAX_CHARACTERS ? this.#text("too_long", { n: length, max: MAX_CHARACTERS }) : "";
    if (!text || length > MAX_CHARACTERS || !this.#send(text)) return;
    this.text = "";
    this.focus();
  }

  #changed() {
    const text = trimmed(this.text);
    this.#button.setAttribute("aria-disabled", String(!text));
    if (characters(text) <= MAX_CHARACTERS) this.#error.textContent = "";
    this.grow();
    this.#typed(this.text);
  }
}
