// @ts-check
/** Reads from the server's log what came after the cursor. */

/** @typedef {import("./message-store.js").Event} Event */

export class Replay {
  #client;
  #cursor;
  #closed = false;
  /** @type {Promise<void> | null} */ #running = null;

  /** @param {import("./chat-client.js").ChatClient} client @param {() => number} cursor the last seq that is held without a hole before it */
  constructor(client, cursor) {
    this.#client = client;
    this.#cursor = cursor;
  }

  /** To the end of the log; rejects when there is no answer. @param {(event: Event) => void} tell */
  async read(tell) {
    for (let more = true; more && !this.#closed; ) {
      const after = this.#cursor();
      const page = await this.#client.messages({ after });
      for (const message of page.messages) tell({ type: "new_message", message });
      if (page.last_seq < this.#cursor()) tell({ type: "reset" });
      more = page.has_more && this.#cursor() > after; // else nobody takes what is told
    }
  }

  /** The same, once at a time; without an answer the next event, or the stream, brings it. @param {(event: Event) => void} tell */
  start(tell) {
    this.#running ??= this.read(tell)
      .catch(() => {})
      .finally(() => (this.#running = null));
  }

  close() {
    this.#closed = true;
  }
}
