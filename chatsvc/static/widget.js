// @ts-check
/**
 * The loader, the only script that a host page includes. It defines <support-chat> and draws the
 * button. The panel is fetched when somebody opens it, or at once if they already have a
 * conversation. The server replaces the zeros by the version of the files.
 */
import { addElement } from "./widget/auto-element.js";
import { hex, textOn } from "./widget/colors.js";
import { Launcher, STYLE } from "./widget/launcher.js";

const BASE = new URL(".", import.meta.url);
const MODULES = new URL("static/v/000000000000/dist/", BASE);
const KEY = `support-chat:${BASE.href}:`;
const DEFAULT_ACCENT = "#0b57d0";
const FRAGMENT = "#support-chat"; // the button in e-mails leads here; links in the page may too
// Events that stop at the shadow root. Outside, their target is not a text field and not in the
// page's dialogs: the page's shortcuts would react to typing, and its dialogs would take the focus.
const INNER = ["keydown", "keypress", "keyup", "focusin"];
const ATTRIBUTES = ["token", "heading", "greeting", "accent", "theme", "lang", "open"];

/**
 * Return whether this browser has a visitor's token or an unsent message. It stores nothing.
 * @returns {boolean}
 */
function returning() {
  try {
    return ["visitor", "outbox:"].some((name) => localStorage.getItem(KEY + name) !== null);
  } catch {
    return false; // storage is disabled
  }
}

class SupportChat extends HTMLElement {
  static observedAttributes = ATTRIBUTES;
  #root = this.attachShadow({ mode: "open" });
  #launcher = new Launcher({
    pressed: () => this.toggle(),
    approached: () => void this.#fetch().catch(() => {}),
  }); // fetches the panel before the click
  #accent = new CSSStyleSheet();
  #unread = 0;
  #again = "";
  /** @type {(() => Promise<string> | string) | null} */ #getToken = null;
  /** @type {Promise<typeof import("./widget/element.js")> | null} */ #panel = null;
  /** @type {Promise<import("./widget/element.js").Chat> | null} */ #chat = null;

  connectedCallback() {
    if (!this.#root.childElementCount) {
      this.#draw();
      if (location.hash === FRAGMENT) this.open = true;
    }
    for (const name of ["getToken", ...ATTRIBUTES]) this.#upgrade(name);
    if (this.open || this.hasAttribute("token") || this.#getToken || returning())
      this.#use((chat) => chat.connected());
  }

  disconnectedCallback() {
    // a router may only move the element: check again after it has finished
    queueMicrotask(
      () => this.isConnected || (this.#chat && this.#use((chat) => chat.disconnected())),
    );
  }

  /** @param {string} name @param {string | null} before @param {string | null} after */
  attributeChangedCallback(name, before, after) {
    if (!this.#root.childElementCount || before === after) return;
    if (name === "accent") this.#tint();
    this.#label();
    if (name === "open" && (before === null) !== (after === null)) this.#opened(after !== null);
    else if (this.#chat || (name === "token" && after)) this.#use((chat) => chat.changed(name));
  }

  get open() {
    return this.hasAttribute("open");
  }
  set open(value) {
    this.toggleAttribute("open", Boolean(value));
  }
  get getToken() {
    return this.#getToken;
  }
  set getToken(value) {
    this.#getToken = value;
    if (this.#chat || (value && this.isConnected)) this.#use((chat) => chat.changed("token"));
  }
  get unread() {
    return this.#unread;
  }
  set unread(count) {
    if (count !== this.#unread)
      this.dispatchEvent(
        new CustomEvent("support-chat:unread", { bubbles: true, detail: { count } }),
      );
    this.#unread = count;
    this.#label();
  }
  show() {
    this.open = true;
  }
  hide() {
    this.open = false;
  }
  toggle() {
    this.open = !this.open;
  }
  focusLauncher() {
    this.#launcher.node.focus();
  }

  /**
   * Set a property again if the page set it before this script ran, because it hides the accessor.
   * @param {string} name
   */
  #upgrade(name) {
    if (!Object.hasOwn(this, name)) return;
    const value = Reflect.get(this, name);
    Reflect.deleteProperty(this, name);
    Reflect.set(this, name, value);
  }

  #draw() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [sheet, this.#accent];
    this.#root.append(this.#launcher.node);
    for (const name of INNER) this.#root.addEventListener(name, (event) => event.stopPropagation());
    this.#tint();
    this.#label();
  }

  #tint() {
    const accent = hex(this.getAttribute("accent")) ?? DEFAULT_ACCENT;
    this.#accent.replaceSync(`:host { --accent: ${accent}; --on-accent: ${textOn(accent)}; }`);
  }

  #label() {
    this.#launcher.show(this, this.open, this.#unread);
  }

  /** @param {boolean} open */
  #opened(open) {
    if (open || this.#chat) this.#use((chat) => chat.shown(this.open));
    this.dispatchEvent(
      new CustomEvent(open ? "support-chat:open" : "support-chat:close", { bubbles: true }),
    );
  }

  /**
   * Fetch the module of the panel. After a failure the next call uses another URL: many browsers
   * remember that one failed.
   */
  #fetch() {
    this.#panel ??= import(new URL(`panel.js${this.#again}`, MODULES).href);
    this.#panel.catch(() => {
      this.#panel = null;
      this.#again += "?";
    });
    return this.#panel;
  }

  /**
   * Call `action` with the chat; the first call fetches its module. If that fails, the host page is
   * not affected: the panel stays closed, and the next click tries again.
   * @param {(chat: import("./widget/element.js").Chat) => void} action
   */
  #use(action) {
    this.#chat ??= this.#fetch().then(
      ({ Chat }) => new Chat(/** @type {any} */ (this), this.#root, { base: BASE, key: KEY }),
    );
    this.#chat.catch(() => {
      this.#chat = null;
      this.open = false;
    });
    this.#chat.then(action, () => {});
  }
}

// Properties for the attributes token, heading, greeting, accent and theme. Every element has
// `lang`.
for (const name of ATTRIBUTES.filter((name) => !["lang", "open"].includes(name))) {
  Object.defineProperty(SupportChat.prototype, name, {
    /** @this {SupportChat} */ get() {
      return this.getAttribute(name);
    },
    /** @this {SupportChat} @param {string | null | undefined} value */
    set(value) {
      if (value === null || value === undefined) this.removeAttribute(name);
      else this.setAttribute(name, value);
    },
  });
}

// Old browsers (docs/embedding.md) do not let a script make style sheets: there the element stays
// empty.
const SUPPORTED = "adoptedStyleSheets" in Document.prototype;

if (SUPPORTED && !customElements.get("support-chat")) {
  customElements.define("support-chat", SupportChat);
  addEventListener("hashchange", () => {
    const chat = /** @type {SupportChat | null} */ (document.querySelector("support-chat"));
    if (location.hash === FRAGMENT) chat?.show();
  });
}

if (SUPPORTED && document.querySelector("script[data-auto][src*='widget.js']")) addElement();
