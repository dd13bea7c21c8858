// @ts-check
/**
 * Finds out who uses <support-chat>, and holds that person's conversation while the element is in
 * the page.
 */
import { everyMidnight } from "../shared/days.js";
import { ChatClient } from "./chat-client.js";
import { Conversation } from "./conversation.js";
import { Identity } from "./identity.js";
import { acceptLanguage } from "./language.js";
import { Memory } from "./memory.js";
import { View } from "./view.js";

const ASK_AGAIN_MS = 5000; // the host application did not give a token

export class Chat {
  #host;
  #base;
  #memory;
  #identity;
  #view;
  /** @type {Conversation | null} */ #conversation = null;
  /** @type {string | null | undefined} null: a visitor; undefined: not known yet */ #subject;
  #turn = 0;
  /** @type {AbortController | null} */ #listeners = null;

  /**
   * @param {import("./view.js").Host} host
   * @param {ShadowRoot} root
   * @param {{ base: URL, key: string }} server
   */
  constructor(host, root, { base, key }) {
    this.#host = host;
    this.#base = base;
    this.#memory = new Memory(key);
    this.#identity = new Identity(host, this.#memory.visitor);
    this.#view = new View(host, root, this.#memory);
    this.connected();
  }

  /** The element was added to the page. */
  connected() {
    if (this.#listeners) return;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const wake = () => {
      this.#conversation?.wake();
      this.#view.look();
    };
    for (const name of ["online", "offline"])
      window.addEventListener(name, () => this.#conversation?.reconnect(), { signal });
    window.addEventListener("focus", wake, { signal });
    document.addEventListener("visibilitychange", wake, { signal });
    window.addEventListener("pagehide", () => this.#conversation?.pause(), { signal });
    window.addEventListener(
      "pageshow",
      (event) => {
        if (event.persisted) void this.#conversation?.start();
        wake();
      },
      { signal },
    );
    window.addEventListener("storage", ({ key }) => this.#stored(key), { signal });
    everyMidnight(() => this.#view.render({ type: "midnight" }), signal);
    void this.#identify();
    if (this.#host.open) this.shown(true);
  }

  /** The element was removed from the page: close all connections. */
  disconnected() {
    this.#listeners?.abort();
    this.#listeners = null;
    this.#forget();
  }

  /** @param {string} name of the attribute */
  changed(name) {
    if (name === "token") void this.#identify();
    else if (name === "lang") this.#view.draw();
    else this.#view.name();
  }

  /** @param {boolean} open */
  shown(open) {
    this.#view.open(open);
  }

  /**
   * Start another conversation for another person. A renewed token of the same person changes
   * nothing.
   */
  async #identify() {
    const turn = (this.#turn += 1);
    const identity = new Identity(this.#host, this.#memory.visitor);
    if (identity.isGiven) {
      // the user must not send the visitor's unsent messages
      if (this.#subject === null) this.#leave();
      identity.rememberVisitor(null);
      this.#memory.forgetVisitor();
    }
    const subject = await identity.subject().catch(() => undefined);
    if (turn !== this.#turn) return;
    if (subject === undefined)
      return void setTimeout(() => turn === this.#turn && this.#identify(), ASK_AGAIN_MS);
    if (this.#conversation && subject === this.#subject) {
      this.#identity.renew(identity);
      return this.#conversation.wake();
    }
    this.#conversation?.stop();
    this.#identity = identity;
    this.#subject = subject;
    const names = {
      outbox: this.#memory.of("outbox", subject),
      tabs: () => this.#memory.tabs(identity.person(subject)),
    };
    const client = new ChatClient(this.#base, identity, () => acceptLanguage(this.#host));
    const conversation = new Conversation(
      client,
      identity,
      names,
      (event) => conversation === this.#conversation && this.#view.render(event),
    );
    this.#conversation = conversation;
    this.#view.show(conversation, subject);
    void conversation.start();
  }

  #forget() {
    this.#turn += 1;
    this.#leave();
  }

  /** Stop the conversation. Nothing can be sent until there is an identity. */
  #leave() {
    this.#conversation?.stop();
    this.#conversation = null;
    this.#subject = undefined;
    this.#view.show(null, undefined);
  }

  /**
   * Another tab has changed the storage.
   * @param {string | null} key null: everything was deleted
   */
  #stored(key) {
    this.#view.mute();
    if (this.#subject !== null || (key !== null && key !== this.#memory.visitor)) return;
    this.#identity.recallVisitor();
    if (!this.#identity.known) this.#forget();
    if (this.#conversation) void this.#conversation.start();
    else void this.#identify();
  }
}
