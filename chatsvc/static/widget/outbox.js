// @ts-check
/** Sends what was written, one after the other in order, again and again until the server has answered; also after a page load. */
import { Backoff } from "../shared/backoff.js";
import { recall, remember } from "../shared/storage.js";
import { uuid } from "../shared/uuid.js";
import { HttpError } from "./chat-client.js";

const SHOWN_AFTER = 2; // attempts; one lost request is repeated without worrying anybody

/** @typedef {{ client_id: string, content: string, created_at: string }} Item */
/**
 * @typedef {object} OutboxOptions
 * @property {string} [key] under which this browser keeps what is not sent
 * @property {(item: Item) => Promise<import("../support-chat.js").SupportMessage>} post
 * @property {(event: import("./message-store.js").Event) => void} dispatch
 */

export class Outbox {
  #options;
  #key;
  #backoff = new Backoff();
  /** @type {Item[]} */ #queue = [];
  /** @type {Map<string, Item>} refused ones, which wait for a person */ #refused = new Map();
  #sending = false;
  #stopped = false;

  /** @param {OutboxOptions} options */
  constructor(options) {
    this.#options = options;
    this.#key = options.key ?? "";
  }

  /** Takes up what an earlier page, or another tab, has not sent. The same message twice is stored once. */
  restore() {
    const known = new Set(
      [...this.#queue, ...this.#refused.values()].map(({ client_id }) => client_id),
    );
    for (const item of this.#kept()) {
      if (known.has(item.client_id)) continue;
      this.#options.dispatch({ type: "pending", ...item });
      this.#enqueue(item);
    }
  }

  /** @param {string} content */
  add(content) {
    const item = { client_id: uuid(), content, created_at: new Date().toISOString() };
    this.#keep([...this.#kept(), item]);
    this.#options.dispatch({ type: "pending", ...item });
    this.#enqueue(item);
  }

  /** @param {string} clientId */
  retry(clientId) {
    this.#options.dispatch({ type: "retry", client_id: clientId });
    const item = this.#refused.get(clientId);
    this.#refused.delete(clientId);
    if (item) this.#enqueue(item);
    else this.wake();
  }

  /** Gives up one that was refused. @param {string} clientId */
  discard(clientId) {
    this.#refused.delete(clientId);
    this.settled(clientId);
    this.#options.dispatch({ type: "discarded", client_id: clientId });
  }

  /** The server has it, whichever tab sent it: it need not be sent any more. @param {string} clientId */
  settled(clientId) {
    if (this.#sending)
      this.#queue = this.#queue.filter((item, index) => index === 0 || item.client_id !== clientId);
    const kept = this.#kept();
    const left = kept.filter((item) => item.client_id !== clientId);
    if (left.length < kept.length) this.#keep(left);
  }

  wake() {
    this.#backoff.wake();
  }

  stop() {
    this.#stopped = true;
    this.#backoff.wake();
  }

  /** @returns {Item[]} */
  #kept() {
    try {
      const kept = JSON.parse((this.#key && recall(this.#key)) || "[]");
      return kept.filter(
        (/** @type {any} */ item) =>
          typeof item.client_id === "string" &&
          typeof item.content === "string" &&
          !Number.isNaN(Date.parse(item.created_at)),
      );
    } catch {
      return []; // somebody else has written there
    }
  }

  /** @param {Item[]} items */
  #keep(items) {
    if (this.#key) remember(this.#key, items.length ? JSON.stringify(items) : null);
  }

  /** @param {Item} item */
  #enqueue(item) {
    this.#queue.push(item);
    if (!this.#sending) void this.#drain();
  }

  async #drain() {
    this.#sending = true;
    while (this.#queue.length && !this.#stopped) {
      try {
        await this.#send(this.#queue[0]);
        this.#queue.shift();
        this.#backoff.reset();
      } catch (error) {
        await this.#pause(error instanceof HttpError ? error.retryAfterMs : 0);
      }
    }
    this.#sending = false;
  }

  /** Ends when the server has decided about it; throws when it should be tried again. @param {Item} item */
  async #send(item) {
    try {
      const message = await this.#options.post(item);
      this.settled(item.client_id);
      if (!this.#stopped) this.#options.dispatch({ type: "new_message", message });
    } catch (error) {
      if (!(error instanceof HttpError) || error.temporary) throw error;
      this.#refused.set(item.client_id, item);
      this.#options.dispatch({
        type: "failed",
        client_id: item.client_id,
        temporary: false,
        reason: error.message,
      });
    }
  }

  /** @param {number} least milliseconds */
  async #pause(least) {
    const delay = this.#backoff.next(least);
    if (this.#backoff.failures >= SHOWN_AFTER) {
      for (const { client_id } of this.#queue)
        this.#options.dispatch({ type: "failed", client_id, temporary: true, reason: "" });
    }
    if (!this.#stopped) await this.#backoff.wait(delay);
  }
}
