// @ts-check
/** Reports to the server, once, up to which message the person has read. */
import { lastStaffSeq, unread } from "./message-store.js";

export class ReadMark {
  #client;
  #marking = 0;

  /** @param {import("./chat-client.js").ChatClient} client */
  constructor(client) {
    this.#client = client;
  }

  /**
   * Mark all messages of the state as read.
   * @param {import("./message-store.js").ChatState} state
   * @returns {Promise<number>} the server's read mark; 0 if nothing changed
   */
  async move(state) {
    const upTo = lastStaffSeq(state);
    if (upTo <= Math.max(state.readUpTo, this.#marking) || !unread(state)) return 0;
    this.#marking = upTo;
    try {
      return (await this.#client.markRead(upTo)).read_up_to;
    } catch {
      this.#marking = 0; // the next look at the page retries
      return 0;
    }
  }
}
