// @ts-check
/** Fetches the chat with its latest messages, and retries until there is a response. */
import { Backoff } from "../shared/backoff.js";
import { HttpError } from "./chat-client.js";

/** @typedef {import("../support-chat.js").SupportChatSnapshot} SupportChatSnapshot */

export class Snapshot {
  #client;
  #wanted;
  #backoff = new Backoff();
  /** @type {Promise<SupportChatSnapshot | null> | null} */ #fetching = null;

  /**
   * @param {import("./chat-client.js").ChatClient} client
   * @param {() => boolean} wanted called before each attempt
   */
  constructor(client, wanted) {
    this.#client = client;
    this.#wanted = wanted;
  }

  /**
   * One at a time.
   * @returns {Promise<SupportChatSnapshot | null>} null if it is not wanted any more
   */
  fetch() {
    return (this.#fetching ??= this.#repeat().finally(() => (this.#fetching = null)));
  }

  /** Retry now. */
  wake() {
    this.#backoff.wake();
  }

  async #repeat() {
    while (this.#wanted()) {
      try {
        const chat = await this.#client.chat();
        this.#backoff.reset();
        return chat;
      } catch (error) {
        if (this.#wanted())
          await this.#backoff.wait(
            this.#backoff.next(error instanceof HttpError ? error.retryAfterMs : 0),
          );
      }
    }
    return null;
  }
}
