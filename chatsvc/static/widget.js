// @ts-check
/**
 * The loader: the one script that a host page names. It defines <support-chat> and draws the button; everything
 * else is fetched when somebody opens the panel, or at once for people who already have a conversation.
 * The server puts the version of the modules in place of `dev` when it serves this file, and what it imports into it.
 */
import { hex, textOn } from "./widget/colors.js";
import { BUBBLE, CROSS } from "./widget/icons.js";
import { LABELS, STYLE } from "./widget/launcher.js";

const BASE = new URL(".", import.meta.url);
const MODULES = new URL("static/v/dev/widget/", BASE);
const KEY = `support-chat:${BASE.href}:`;
const DEFAULT_ACCENT = "#0b57d0";
const FRAGMENT = "#support-chat"; // where the button in e-mails leads; a link in the page may do the same
const ATTRIBUTES = ["token", "heading", "greeting", "accent", "theme", "lang", "open"];

/** Whether this browser is a visitor's, or has a message that was not sent; reading it stores nothing. @returns {boolean} */
function returning() {
  try {
    return ["visitor", "outbox:"].some((name) => localStorage.getItem(KEY + name) !== null);
  } catch {
    return false; // storage is switched off
  }
}

class SupportChat extends HTMLElement {
  static observedAttributes = ATTRIBUTES;
  #root = this.attachShadow({ mode: "open" });
  #button = document.createElement("button");
  #path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  #badge = document.createElement("span");
  #accent = new CSSStyleSheet();
  #unread = 0;
  /** @type {(() => Promise<string> | string) | null} */ #getToken = null;
  /** @type {Promise<typeof import("./widget/element.js")> | null} */ #panel = null;
  /** @type {Promise<import("./widget/element.js").Chat> | null} */ #chat = null;

  connectedCallback() {
    if (!this.#root.childElementCount) {
      this.#draw();
      if (location.hash === FRAGMENT) this.open = true;
    }
    for (const name of ["getToken", ...ATTRIBUTES]) this.#upgrade(name);
    if (this.open || this.hasAttribute("token") || this.#getToken || returning()) this.#use((chat) => chat.connected());
  }

  disconnectedCallback() {
    // a router may only be moving the element: look again when it is done
    queueMicrotask(() => this.isConnected || (this.#chat && this.#use((chat) => chat.disconnected())));
  }

  /** @param {string} name @param {string | null} before @param {string | null} after */
  attributeChangedCallback(name, before, after) {
    if (!this.#root.childElementCount || before === after) return;
    if (name === "accent") this.#tint();
    this.#label();
    if (name === "open" && (before === null) !== (after === null)) this.#opened(after !== null);
    else if (this.#chat || (name === "token" && after)) this.#use((chat) => chat.changed(name));
  }

  get open() { return this.hasAttribute("open"); }
  set open(value) { this.toggleAttribute("open", Boolean(value)); }
  get getToken() { return this.#getToken; }
  set getToken(value) {
    this.#getToken = value;
    if (this.#chat || (value && this.isConnected)) this.#use((chat) => chat.changed("token"));
  }
  get unread() { return this.#unread; }
  set unread(count) {
    if (count !== this.#unread) this.dispatchEvent(new CustomEvent("support-chat:unread", { bubbles: true, detail: { count } }));
    this.#unread = count;
    this.#label();
  }
  show() { this.open = true; }
  hide() { this.open = false; }
  toggle() { this.open = !this.open; }
  focusLauncher() { this.#button.focus(); }

  /** A property that the page set before this script was there hides the accessor: set it again. @param {string} name */
  #upgrade(name) {
    if (!Object.prototype.hasOwnProperty.call(this, name)) return;
    const value = Reflect.get(this, name);
    Reflect.deleteProperty(this, name);
    Reflect.set(this, name, value);
  }

  #draw() {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [sheet, this.#accent];
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    icon.append(this.#path);
    this.#button.type = "button";
    this.#button.className = "launcher";
    this.#badge.className = "badge";
    this.#button.append(icon, this.#badge);
    this.#button.addEventListener("click", () => this.toggle());
    // who comes near is about to open it: the panel is fetched before the click
    for (const name of ["pointerenter", "focus"]) this.#button.addEventListener(name, () => this.#fetch().catch(() => {}));
    this.#root.append(this.#button);
    this.#tint();
    this.#label();
  }

  #tint() {
    const accent = hex(this.getAttribute("accent")) ?? DEFAULT_ACCENT;
    this.#accent.replaceSync(`:host { --accent: ${accent}; --on-accent: ${textOn(accent)}; }`);
  }

  #label() {
    const language = (this.lang || document.documentElement.lang || navigator.language || "en").slice(0, 2);
    const [open, close, unread] = LABELS[language] ?? LABELS["en"];
    const number = this.#unread > 9 ? "9+" : String(this.#unread);
    const label = this.open ? close : open;
    this.#button.setAttribute("aria-label", this.#unread ? `${label}, ${number} ${unread}` : label);
    this.#button.setAttribute("aria-expanded", String(this.open));
    this.#path.setAttribute("d", this.open ? CROSS : BUBBLE);
    this.#badge.textContent = number;
    this.#badge.hidden = this.open || this.#unread === 0;
  }

  /** @param {boolean} open */
  #opened(open) {
    if (open || this.#chat) this.#use((chat) => chat.shown(this.open));
    this.dispatchEvent(new CustomEvent(open ? "support-chat:open" : "support-chat:close", { bubbles: true }));
  }

  /** The panel's module; what could not be fetched is asked for again the next time. */
  #fetch() {
    this.#panel ??= import(new URL("element.js", MODULES).href);
    this.#panel.catch(() => { this.#panel = null; });
    return this.#panel;
  }

  /**
   * Does something with the chat, whose module is fetched the first time. A chat server that is down must not
   * be noticed by the host page: the panel stays closed, and the next click tries again.
   * @param {(chat: import("./widget/element.js").Chat) => void} action
   */
  #use(action) {
    this.#chat ??= this.#fetch().then(({ Chat }) => new Chat(/** @type {any} */ (this), this.#root, { base: BASE, key: KEY }));
    this.#chat.catch(() => { this.#chat = null; this.open = false; });
    this.#chat.then(action, () => {});
  }
}

// token, heading, greeting, accent and theme: properties that mirror the attributes (lang is every element's own)
for (const name of ATTRIBUTES.filter((name) => !["lang", "open"].includes(name))) {
  Object.defineProperty(SupportChat.prototype, name, {
    /** @this {SupportChat} */ get() { return this.getAttribute(name); },
    /** @this {SupportChat} @param {string | null | undefined} value */
    set(value) {
      if (value === null || value === undefined) this.removeAttribute(name);
      else this.setAttribute(name, value);
    },
  });
}

if (!customElements.get("support-chat")) {
  customElements.define("support-chat", SupportChat);
  addEventListener("hashchange", () => {
    const chat = /** @type {SupportChat | null} */ (document.querySelector("support-chat"));
    if (location.hash === FRAGMENT) chat?.show();
  });
}

/** Adds an element to a page that has none, and again when a router has replaced the body. */
function addElement() {
  const chat = document.createElement("support-chat");
  const place = () => {
    if (!chat.isConnected && !document.querySelector("support-chat")) document.body.append(chat);
    replaced.observe(document.body, { childList: true });
  };
  const replaced = new MutationObserver(() => chat.isConnected || place());
  replaced.observe(document.documentElement, { childList: true });
  place();
}

if (document.querySelector("script[data-auto][src*='widget.js']")) addElement();
