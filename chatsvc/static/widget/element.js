// @ts-check
/** Behind <support-chat>: brings the conversation and the panel together, for as long as the element is in the page. */
import { ChatClient } from "./chat-client.js";
import { draft, keepDraft } from "./drafts.js";
import { Identity } from "./identity.js";
import { unread } from "./message-store.js";
import { Panel } from "./panel.js";
import { Session } from "./session.js";
import { language, strings } from "./strings.js";
import { SHEET } from "./styles.js";

/** @typedef {import("../support-chat.js").SupportChatElement & { unread: number, focusLauncher(): void }} Host */

export class Chat {
  #host; #root; #base; #key; #identity;
  #sheet = new CSSStyleSheet();
  /** @type {Panel} */ #panel;
  /** @type {Session | null} */ #session = null;
  /** @type {string | null | undefined} null: a visitor; undefined: not asked yet */ #subject;
  #turn = 0;
  /** @type {AbortController | null} */ #listeners = null;

  /** @param {Host} host @param {ShadowRoot} root @param {{ base: URL, visitorKey: string }} server */
  constructor(host, root, { base, visitorKey }) {
    this.#host = host;
    this.#root = root;
    this.#base = base;
    this.#key = visitorKey;
    this.#identity = new Identity(host, visitorKey);
    this.#sheet.replaceSync(SHEET);
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, this.#sheet];
    this.#panel = this.#draw();
    this.connected();
  }

  /** The element is in the page (again). */
  connected() {
    if (this.#listeners) return;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const wake = () => { this.#session?.wake(); this.#look(); };
    for (const name of ["online", "offline", "pageshow", "focus"]) window.addEventListener(name, wake, { signal });
    document.addEventListener("visibilitychange", wake, { signal });
    void this.#identify();
    if (this.#host.open) this.shown(true);
  }

  /** The element was taken out of the page: no connection stays behind. */
  disconnected() {
    this.#listeners?.abort();
    this.#listeners = null;
    this.#turn += 1;
    this.#session?.stop();
    this.#session = null;
    this.#subject = undefined;
  }

  /** @param {string} name of the attribute */
  changed(name) {
    if (name === "token") void this.#identify();
    else if (name === "lang") this.#panel = this.#draw();
    else this.#name();
  }

  /** @param {boolean} open */
  shown(open) {
    const within = this.#panel.node.contains(this.#root.activeElement);
    this.#panel.show(open);
    if (!open && within) this.#host.focusLauncher();
    this.#look();
  }

  /** Draws the panel; once more when the language changed. */
  #draw() {
    const tag = language(this.#host.lang, document.documentElement.lang, navigator.language);
    const panel = new Panel(strings(tag), tag, {
      send: (text) => { this.#session?.send(text); return this.#session !== null; },
      retry: (clientId) => this.#session?.retry(clientId),
      older: async () => this.#session?.loadOlder(),
      close: () => { this.#host.open = false; },
      looked: () => this.#look(),
      typed: (text) => this.#session && keepDraft(this.#draftKey, text),
    });
    const old = /** @type {Panel | undefined} */ (this.#panel);
    if (old) old.node.replaceWith(panel.node);
    else this.#root.prepend(panel.node);
    this.#panel = panel;
    this.#name();
    panel.text = old?.text ?? "";
    this.#render({ type: "drawn" });
    panel.node.hidden = !this.#host.open;
    return panel;
  }

  #name() {
    const { heading, greeting } = strings(this.#panel.node.lang);
    this.#panel.name(this.#host.getAttribute("heading") ?? heading, this.#host.getAttribute("greeting") ?? greeting);
  }

  /** Finds out who it is; another person gets another conversation, a renewed token of the same person changes nothing. */
  async #identify() {
    const turn = (this.#turn += 1);
    if (this.#host.token || this.#host.getToken) this.#identity.rememberVisitor(null);
    const subject = await this.#identity.subject().catch(() => null);
    if (turn !== this.#turn || (this.#session && subject === this.#subject)) return;
    const typed = this.#subject === undefined ? this.#panel.text : "";
    this.#subject = subject;
    this.#session?.stop();
    const client = new ChatClient(this.#base, this.#identity);
    const session = new Session(client, this.#identity, (event) => session === this.#session && this.#render(event));
    this.#session = session;
    this.#panel.text = typed || draft(this.#draftKey);
    this.#render({ type: "identified" });
    void session.start();
  }

  /** @param {{ type: string } & Record<string, any>} event */
  #render(event) {
    const session = this.#session;
    if (!session) return this.#panel.status("idle");
    const { status } = session;
    this.#panel.status(status === "ended" || (status === "connecting" && !navigator.onLine) ? "offline" : status);
    if (event.type === "status") return;
    this.#panel.render(session.state, event.type === "pending");
    this.#host.unread = unread(session.state);
    if (event.type === "new_message" && event.message.sender_type === "admin") this.#arrived(event.message);
  }

  /** @param {import("../support-chat.js").SupportMessage} message */
  #arrived(message) {
    this.#panel.announce(`${strings(this.#panel.node.lang).staff}: ${message.content}`);
    this.#host.dispatchEvent(new CustomEvent("support-chat:message", { bubbles: true, detail: { message } }));
  }

  /** Read is what a person could have read: panel open, page visible, window focused, and not scrolled away. */
  #look() {
    const seen = this.#host.open && document.visibilityState === "visible" && document.hasFocus() && this.#panel?.list.unseen === 0;
    if (seen) void this.#session?.markRead();
  }

  get #draftKey() {
    return `${this.#key}:draft:${this.#subject ?? ""}`;
  }
}
