// @ts-check
/** Fetches the messages after the cursor. */

/** @typedef {import("./message-store.js").Event} Event */

export class Replay {
  #client;
  #cursor;
  #closed = false;
  /** @type {Promise<void> | null} */ #running = null;

  /**
   * @param {import("./chat-client.js").ChatClient} client
   * @param {() => number} cursor the last seq before which no message is missing
   */
  constructor(client, cursor) {
    this.#client = client;
    this.#cursor = cursor;
  }

  /**
   * Fetch up to the newest message. Rejects if there is no response.
   * @param {(event: Event) => void} tell
   */
  async read(tell) {
    for (let more = true; more && !this.#closed; ) {
      const after = this.#cursor();
      const page = await this.#client.messages({ after });
      for (const message of page.messages) tell({ type: "new_message", message });
      if (page.last_seq < this.#cursor()) tell({ type: "reset" });
      more = page.has_more && this.#cursor() > after; // otherwise nobody handles the events
    }
  }

  /**
   * The same, one at a time. After a failure the next event or the stream starts it again.
   * @param {(event: Event) => void} tell
   */
  start(tell) {
    this.#running ??= this.read(tell)
      .catch(() => {})
      .finally(() => (this.#running = null));
  }

  close() {
    this.#closed = true;
  }
}
