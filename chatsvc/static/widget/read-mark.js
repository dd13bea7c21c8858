// @ts-check
/** How far staff's messages are read. Asked to move often, it tells the server once. */
import { lastStaffSeq, unread } from "./message-store.js";

export class ReadMark {
  #client;
  #marking = 0;

  /** @param {import("./chat-client.js").ChatClient} client */
  constructor(client) {
    this.#client = client;
  }

  /** All that is held is read. @param {import("./message-store.js").ChatState} state @returns {Promise<number>} up to where the server has it read; 0: it was not told anything new */
  async move(state) {
    const upTo = lastStaffSeq(state);
    if (upTo <= Math.max(state.readUpTo, this.#marking) || !unread(state)) return 0;
    this.#marking = upTo;
    try {
      return (await this.#client.markRead(upTo)).read_up_to;
    } catch {
      this.#marking = 0; // the next look at the page tries again
      return 0;
    }
  }
}
