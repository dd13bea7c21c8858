// @ts-check
/** Sends messages in order and retries until there is a response, also after a page load. */
import { Backoff } from "../shared/backoff.js";
import { recall, remember } from "../shared/storage.js";
import { uuid } from "../shared/uuid.js";
import { HttpError } from "./chat-client.js";

const SHOWN_AFTER = 2; // failed attempts; one lost request is retried silently

/** @typedef {{ client_id: string, content: string, created_at: string }} Item */
/**
 * @typedef {object} OutboxOptions
 * @property {string} [key] under which this browser stores unsent messages
 * @property {(item: Item) => Promise<import("../support-chat.js").SupportMessage>} post
 * @property {(event: import("./message-store.js").Event) => void} dispatch
 */

export class Outbox {
  #options;
  #key;
  #backoff = new Backoff();
  /** @type {Item[]} */ #queue = [];
  /** @type {Map<string, Item>} wait for the person to retry or delete them */ #refused = new Map();
  #sending = false;
  #stopped = false;

  /** @param {OutboxOptions} options */
  constructor(options) {
    this.#options = options;
    this.#key = options.key ?? "";
  }

  /** Send what an earlier page or another tab has not sent. The server stores a message once. */
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

  /** Delete a refused message. @param {string} clientId */
  discard(clientId) {
    this.#refused.delete(clientId);
    this.settled(clientId);
    this.#options.dispatch({ type: "discarded", client_id: clientId });
  }

  /** Remove a message that is stored, by any tab. @param {string} clientId */
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
      return []; // not written by this program
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

  /**
   * Return when the message is stored or refused. Throw if it must be retried.
   * @param {Item} item
   */
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
