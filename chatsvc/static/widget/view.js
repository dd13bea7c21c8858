// @ts-check
/**
 * Shows a conversation: draws the panel, renders the state, and alerts people who do not look at
 * the page.
 */
import { draft, keepDraft } from "../shared/drafts.js";
import { unread } from "./message-store.js";
import { Notifier } from "./notifier.js";
import { Panel } from "./panel.js";
import { SHEET } from "./styles.js";
import { panelLanguage, texts } from "./texts.js";

/**
 * @typedef {import("../support-chat.js").SupportChatElement & { unread: number, focusLauncher():
 * void }} Host
 */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./message-store.js").Event} Event */

export class View {
  #host;
  #root;
  #memory;
  #notifier;
  #sheet = new CSSStyleSheet();
  /** @type {import("./texts.js").Text} */ #text;
  /** @type {Panel} */ #panel;
  /** @type {Conversation | null} */ #conversation = null;
  /** @type {string | null | undefined} null: a visitor; undefined: not known yet */ #subject;

  /** @param {Host} host @param {ShadowRoot} root @param {import("./memory.js").Memory} memory */
  constructor(host, root, memory) {
    this.#host = host;
    this.#root = root;
    this.#memory = memory;
    this.#notifier = new Notifier(memory.muted);
    this.#sheet.replaceSync(SHEET);
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, this.#sheet];
    this.#text = texts(panelLanguage(host));
    this.#panel = this.draw();
  }

  /**
   * @param {Conversation | null} conversation
   * @param {string | null | undefined} subject whose conversation it is
   */
  show(conversation, subject) {
    const typed = this.#subject === undefined ? this.#panel.text : "";
    this.#conversation = conversation;
    this.#subject = subject;
    if (conversation) this.#panel.text = typed || draft(this.#memory.of("draft", subject));
    else this.#notifier.count(0, true);
    this.render({ type: "identified" });
  }

  /** Draw the panel, again after a change of language. */
  draw() {
    const language = panelLanguage(this.#host);
    this.#text = texts(language);
    const panel = new Panel(this.#text, language, {
      send: (text) => {
        this.#conversation?.send(text);
        return this.#conversation !== null;
      },
      retry: (clientId) => this.#conversation?.retry(clientId),
      discard: (clientId) => this.#conversation?.discard(clientId),
      older: async () => this.#conversation?.loadOlder(),
      close: () => {
        this.#host.open = false;
      },
      looked: () => this.look(),
      typed: (text) =>
        this.#conversation && keepDraft(this.#memory.of("draft", this.#subject), text),
      mute: () => this.#panel.muted(this.#notifier.toggle()),
      save: async (email) => {
        await this.#conversation?.saveContact(email);
        this.#answered("given");
      },
      skip: () => {
        this.#answered("skipped");
        this.#askContact();
      },
    });
    const old = /** @type {Panel | undefined} */ (this.#panel);
    if (old) old.node.replaceWith(panel.node);
    else this.#root.prepend(panel.node);
    this.#panel = panel;
    this.name();
    this.mute();
    panel.text = old?.text ?? "";
    this.render({ type: "drawn" });
    panel.node.hidden = !this.#host.open;
    return panel;
  }

  name() {
    this.#panel.name(
      this.#host.getAttribute("heading") ?? this.#text("heading"),
      this.#host.getAttribute("greeting") ?? this.#text("greeting"),
    );
  }

  /** Show whether the sound is off, which another tab may have changed. */
  mute() {
    this.#panel.muted(this.#notifier.muted);
  }

  /** @param {boolean} open */
  open(open) {
    const within = this.#panel.node.contains(this.#root.activeElement);
    this.#panel.show(open);
    if (!open && within) this.#host.focusLauncher();
    this.look();
  }

  /** @param {Event} event the change */
  render(event) {
    const conversation = this.#conversation;
    if (!conversation) return this.#panel.status("connecting"); // there is no identity yet
    const { status } = conversation;
    this.#panel.status(
      status === "ended" || (status === "connecting" && !navigator.onLine) ? "offline" : status,
    );
    if (event.type === "status") return;
    this.#panel.render(conversation.state, event.type === "pending");
    this.#askContact();
    this.#host.unread = unread(conversation.state);
    this.#notifier.count(this.#host.unread, visible());
    if (event.type === "new_message" && event.message.sender_type === "admin")
      this.#arrived(conversation, event.message);
  }

  /**
   * Mark as read what the person could read: panel open, page visible, window focused, scrolled to
   * the end.
   */
  look() {
    this.#notifier.count(this.#host.unread, visible());
    if (this.#host.open && visible() && document.hasFocus() && this.#panel?.list.unseen === 0)
      void this.#conversation?.markRead();
  }

  /**
   * @param {Conversation} conversation
   * @param {import("../support-chat.js").SupportMessage} message
   */
  #arrived(conversation, message) {
    this.#panel.announce(`${this.#text("staff")}: ${message.content}`);
    this.#host.dispatchEvent(
      new CustomEvent("support-chat:message", { bubbles: true, detail: { message } }),
    );
    if (conversation.leading)
      this.#notifier.arrived(
        () => unread(conversation.state) > 0 && !(this.#host.open && visible()),
      );
  }

  #askContact() {
    const written =
      this.#conversation?.state.messages.some((message) => message.sender_type === "user") ?? false;
    this.#panel.askContact(written && this.#subject === null && !this.#memory.contactAnswered);
  }

  /** @param {"given" | "skipped"} answer */
  #answered(answer) {
    this.#memory.answerContact(answer);
    this.#panel.focus();
  }
}

function visible() {
  return document.visibilityState === "visible";
}
