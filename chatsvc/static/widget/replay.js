// @ts-check
/** Fetches the messages after the cursor. */

/** @typedef {import("./message-store.js").Event} Event */

export class Replay {
  #client;
  #cursor;
  #cursorId;
  #closed = false;
  /** @type {Promise<void> | null} */ #running = null;

  /**
   * @param {import("./chat-client.js").ChatClient} client
   * @param {() => number} cursor the last seq before which no message is missing
   * @param {() => string | undefined} cursorId of that message
   */
  constructor(client, cursor, cursorId) {
    this.#client = client;
    this.#cursor = cursor;
    this.#cursorId = cursorId;
  }

  /**
   * Fetch up to the newest message. Rejects if there is no response.
   * @param {(event: Event) => void} tell
   */
  async read(tell) {
    for (let more = true; more && !this.#closed; ) {
      const after = this.#cursor();
      const page = await this.#client.messages({ after, after_id: this.#cursorId() });
      for (const message of page.messages) tell({ type: "new_message", message });
      if (page.reset || page.last_seq < this.#cursor()) tell({ type: "reset" });
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
