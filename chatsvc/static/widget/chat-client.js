// @ts-check
/** Requests to the chat server. Knows addresses, tokens and status codes; knows nothing of the screen. */
import { REQUEST_LIMIT_MS } from "../shared/limits.js";

/** @typedef {import("../support-chat.js").SupportMessage} SupportMessage */
/** @typedef {import("../support-chat.js").SupportChatSnapshot} SupportChatSnapshot */
/** @typedef {import("../support-chat.js").MessagePage} MessagePage */

const STORAGE_MS = 200; // what one tab stores another one reads a moment later, even when a lock says that it is its turn

/** The server answered, and it is not what was asked for. */
export class HttpError extends Error {
  /** @param {number} status @param {number} retryAfterMs @param {string} detail */
  constructor(status, retryAfterMs, detail) {
    super(detail || `HTTP ${status}`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** True when the same request may succeed later without anybody changing it. */
  get temporary() {
    return this.status === 401 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export class ChatClient {
  #base;
  #identity;
  #languages;
  /** @type {Promise<void> | null} */ #visitor = null;

  /** @param {URL} base @param {import("./identity.js").Identity} identity @param {() => string} languages for Accept-Language: e-mails follow the widget */
  constructor(base, identity, languages) {
    this.#base = base;
    this.#identity = identity;
    this.#languages = languages;
  }

  /** @returns {Promise<SupportChatSnapshot>} */
  chat() {
    return this.#json("GET", "support_chat");
  }

  /** @param {{ after?: number, before?: number }} cursor @returns {Promise<MessagePage>} */
  messages(cursor) {
    const query = new URLSearchParams(
      Object.entries(cursor).map(([name, seq]) => [name, String(seq)]),
    );
    return this.#json("GET", `support_chat/messages?${query}`);
  }

  /** Safe to repeat: the same `client_id` is stored once. A stranger becomes a visitor first. @param {string} content @param {string} clientId @returns {Promise<SupportMessage>} */
  async postMessage(content, clientId) {
    if (!this.#identity.known)
      await (this.#visitor ??= this.#createVisitor().finally(() => (this.#visitor = null)));
    return this.#json("POST", "support_chat/messages", { content, client_id: clientId });
  }

  /** @param {number} upTo @returns {Promise<{ unread_count: number, read_up_to: number }>} */
  markRead(upTo) {
    return this.#json("PATCH", "support_chat/mark_read", { up_to: upTo });
  }

  /** Where a visitor can be reached. @param {string} email @returns {Promise<{ email: string | null }>} */
  updateVisitor(email) {
    return this.#json("PATCH", "visitors/me", { email });
  }

  /**
   * The answer's body is the stream; the caller reads it and aborts it.
   * @param {number} cursor the last seq that the caller has
   * @param {AbortSignal} signal
   */
  openStream(cursor, signal) {
    return this.#authorised((token) =>
      this.#fetch("support_chat/stream", {
        headers: { ...bearer(token), Accept: "text/event-stream", "Last-Event-ID": String(cursor) },
        signal,
      }),
    );
  }

  /** The same for all tabs: each of them may have the first message to send. */
  async #createVisitor() {
    await alone(this.#identity.key, async () => {
      this.#identity.recallVisitor();
      if (this.#identity.known) return;
      const response = await this.#send("POST", "visitors", {}, null);
      /** @type {{ token: string }} */
      const { token } = await (await expectOk(response)).json();
      this.#identity.rememberVisitor(token);
      await new Promise((told) => setTimeout(told, STORAGE_MS));
    });
  }

  /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
  async #json(method, path, body) {
    return (await this.#authorised((token) => this.#send(method, path, body, token))).json();
  }

  /** With a token; once more with a fresh one when it was refused. @param {(token: string | null) => Promise<Response>} send */
  async #authorised(send) {
    const token = await this.#identity.token().catch(noToken);
    const response = await send(token);
    if (response.status !== 401) return expectOk(response);
    return expectOk(await send(await this.#identity.freshToken(token).catch(noToken)));
  }

  /** @param {string} method @param {string} path @param {object | undefined} body @param {string | null} token */
  #send(method, path, body, token) {
    const headers = { ...bearer(token), ...(body && { "Content-Type": "application/json" }) };
    return this.#fetch(path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
  }

  /** @param {string} path @param {RequestInit} options */
  #fetch(path, options) {
    const headers = { "Accept-Language": this.#languages(), ...options.headers };
    return fetch(new URL(path, this.#base), {
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      ...options,
      headers,
    });
  }
}

/** A host page that gives no token is as good as one that gives one which is refused. @returns {never} */
function noToken() {
  throw new HttpError(401, 0, "");
}

/** @param {string | null} token @returns {Record<string, string>} */
function bearer(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** @param {Response} response */
async function expectOk(response) {
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After"));
  throw new HttpError(
    response.status,
    Number.isFinite(seconds) ? seconds * 1000 : 0,
    problem.errors?.[0]?.detail ?? problem.detail ?? problem.title ?? "",
  );
}

/** Does something while no other tab does it; where there are no locks, or one is not let go, at the same time. @param {string} name @param {() => Promise<void>} action */
async function alone(name, action) {
  let begun = false;
  const once = () => {
    begun = true;
    return action();
  };
  const { locks } = globalThis.navigator ?? {};
  await locks
    ?.request(name, { signal: AbortSignal.timeout(REQUEST_LIMIT_MS) }, once)
    .catch((error) => {
      if (begun) throw error;
    });
  if (!begun) await once();
}
