// @ts-check
/** One person's conversation while the page is open: loads it, keeps it live, sends, marks read. Knows nothing of the screen. */
import { Backoff } from "./backoff.js";
import { HttpError } from "./chat-client.js";
import { EventStream } from "./event-stream.js";
import { EMPTY, cursor, lastStaffSeq, reduce, unread } from "./message-store.js";
import { Outbox } from "./outbox.js";

/** @typedef {import("./message-store.js").ChatState} ChatState */
/** @typedef {"idle" | "connecting" | "live" | "ended"} Status idle: nobody is known yet; ended: the server asked us not to come back */

export class Session {
  state = EMPTY;
  /** @type {Status} */ status = "idle";
  #client;
  #identity;
  #changed;
  #outbox;
  #backoff = new Backoff();
  #stopped = false;
  #marking = 0;
  /** @type {EventStream | null} */ #stream = null;
  /** @type {Promise<void> | null} */ #loading = null;
  /** @type {Promise<void> | null} */ #visitor = null;

  /**
   * @param {import("./chat-client.js").ChatClient} client
   * @param {import("./identity.js").Identity} identity
   * @param {(event: { type: string } & Record<string, any>) => void} changed told after every change, with what caused it
   */
  constructor(client, identity, changed) {
    this.#client = client;
    this.#identity = identity;
    this.#changed = changed;
    this.#outbox = new Outbox({ post: (item) => this.#post(item), dispatch: (event) => this.#dispatch(event) });
  }

  /** Connects if it is known who is asking; a stranger is connected by the first message. */
  async start() {
    if (this.#stopped || this.#stream || !this.#identity.known) return;
    await this.#load();
    if (this.#stopped || this.#stream || !this.state.loaded) return;
    this.#stream = new EventStream({
      open: (at, signal) => this.#client.openStream(at, signal),
      cursor: () => cursor(this.state),
      onEvent: (event) => (event.type === "reset" ? void this.#reset() : this.#dispatch(event)),
      onStatus: (status) => this.#setStatus(status),
    });
    this.#stream.start();
  }

  stop() {
    this.#stopped = true;
    this.#stream?.stop();
    this.#outbox.stop();
    this.#backoff.wake();
  }

  /** The network or the page came back: everything that waits tries again now. */
  wake() {
    this.#backoff.wake();
    this.#outbox.wake();
    this.#stream?.wake();
    if (this.status !== "ended") return;
    this.#stream = null; // the server put an end to it (too many tabs): somebody looks at this one again
    void this.start();
  }

  /** @param {string} content */
  send(content) {
    this.#outbox.add(content);
  }

  /** @param {string} clientId */
  retry(clientId) {
    this.#outbox.retry(clientId);
  }

  async loadOlder() {
    const oldest = this.state.messages[0]?.seq;
    if (!oldest || !this.state.hasMore) return;
    this.#dispatch({ type: "older", page: await this.#client.messages({ before: oldest }) });
  }

  /** Marks what is on screen read. Asked often, tells the server once. */
  async markRead() {
    const upTo = lastStaffSeq(this.state);
    if (this.#stopped || upTo <= Math.max(this.state.readUpTo, this.#marking) || !unread(this.state)) return;
    this.#marking = upTo;
    try {
      const { read_up_to } = await this.#client.markRead(upTo);
      this.#dispatch({ type: "messages_read", read_up_to });
    } catch {
      this.#marking = 0; // the next look at the page tries again
    }
  }

  /** @param {import("./outbox.js").Item} item */
  async #post(item) {
    if (!this.#identity.known) await (this.#visitor ??= this.#client.createVisitor().finally(() => (this.#visitor = null)));
    const message = await this.#client.postMessage(item.content, item.client_id);
    void this.start();
    return message;
  }

  #load() {
    return (this.#loading ??= this.#fetchChat().finally(() => (this.#loading = null)));
  }

  /** Repeats until there is an answer; stops when the answer is that nobody is known. */
  async #fetchChat() {
    this.#setStatus("connecting");
    while (!this.#stopped) {
      try {
        const chat = await this.#client.chat();
        this.#backoff.reset();
        return this.#dispatch({ type: "snapshot", chat });
      } catch (error) {
        if (!this.#identity.known) return this.#setStatus("idle"); // a visitor whom the server has forgotten
        await this.#backoff.wait(this.#backoff.next(error instanceof HttpError ? error.retryAfterMs : 0));
      }
    }
  }

  /** The cursor is of no use to the server: everything is fetched again, then the stream resumes from there. */
  async #reset() {
    const chat = await this.#client.chat();
    this.#dispatch({ type: "reset" });
    this.#dispatch({ type: "snapshot", chat });
    this.#stream?.restart();
  }

  /** @param {{ type: string } & Record<string, any>} event */
  #dispatch(event) {
    if (this.#stopped) return;
    this.state = reduce(this.state, event);
    this.#changed(event);
  }

  /** @param {Status} status */
  #setStatus(status) {
    if (status === this.status || this.#stopped) return;
    this.status = status;
    this.#changed({ type: "status" });
  }
}
