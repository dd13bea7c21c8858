// @ts-check
/** Sends what was written, one after the other in order, again and again until the server has answered. */
import { Backoff } from "./backoff.js";
import { HttpError } from "./chat-client.js";

const SHOWN_AFTER = 2; // attempts; one lost request is repeated without worrying anybody

/** @typedef {{ client_id: string, content: string }} Item */
/**
 * @typedef {object} OutboxOptions
 * @property {(item: Item) => Promise<import("../support-chat.js").SupportMessage>} post
 * @property {(event: { type: string } & Record<string, any>) => void} dispatch
 */

export class Outbox {
  #options;
  #backoff = new Backoff();
  /** @type {Item[]} */ #queue = [];
  /** @type {Map<string, Item>} refused ones, which wait for a person */ #refused = new Map();
  #sending = false;
  #stopped = false;

  /** @param {OutboxOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** @param {string} content */
  add(content) {
    const item = { client_id: uuid(), content };
    this.#options.dispatch({ type: "pending", ...item, created_at: new Date().toISOString() });
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

  wake() {
    this.#backoff.wake();
  }

  stop() {
    this.#stopped = true;
    this.#backoff.wake();
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
      if (!this.#stopped) this.#options.dispatch({ type: "new_message", message });
    } catch (error) {
      if (!(error instanceof HttpError) || error.temporary) throw error;
      this.#refused.set(item.client_id, item);
      this.#options.dispatch({ type: "failed", client_id: item.client_id, temporary: false, reason: error.message });
    }
  }

  /** @param {number} least milliseconds */
  async #pause(least) {
    const delay = this.#backoff.next(least);
    if (this.#backoff.failures >= SHOWN_AFTER) {
      for (const { client_id } of this.#queue) this.#options.dispatch({ type: "failed", client_id, temporary: true, reason: "" });
    }
    if (!this.#stopped) await this.#backoff.wait(delay);
  }
}

/** `crypto.randomUUID` exists on secure pages only. */
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
