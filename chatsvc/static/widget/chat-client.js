// @ts-check
/** Requests to the chat server: URLs, tokens and status codes. It does not touch the screen. */
import { REQUEST_LIMIT_MS } from "../shared/limits.js";

/** @typedef {import("../support-chat.js").SupportMessage} SupportMessage */
/** @typedef {import("../support-chat.js").SupportChatSnapshot} SupportChatSnapshot */
/** @typedef {import("../support-chat.js").MessagePage} MessagePage */

// another tab may read a stored value only after this time, even if it waited for the lock
const STORAGE_MS = 200;

/** A response with a status code other than success. */
export class HttpError extends Error {
  /** @param {number} status @param {number} retryAfterMs @param {string} detail */
  constructor(status, retryAfterMs, detail) {
    super(detail || `HTTP ${status}`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** True if the same request may succeed later. */
  get temporary() {
    return this.status === 401 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

export class ChatClient {
  #base;
  #identity;
  #languages;
  /** @type {Promise<void> | null} */ #visitor = null;

  /**
   * @param {URL} base
   * @param {import("./identity.js").Identity} identity
   * @param {() => string} languages for the Accept-Language header, so that e-mails use the
   * widget's language
   */
  constructor(base, identity, languages) {
    this.#base = base;
    this.#identity = identity;
    this.#languages = languages;
  }

  /** @returns {Promise<SupportChatSnapshot>} */
  chat() {
    return this.#json("GET", "support_chat");
  }

  /** @param {{ after?: number, after_id?: string, before?: number }} cursor @returns {Promise<MessagePage>} */
  messages(cursor) {
    return this.#json("GET", `support_chat/messages?${query(cursor)}`);
  }

  /**
   * Post a message. It is safe to repeat: a `client_id` is stored once. Without an identity, create
   * a visitor first.
   * @param {string} content
   * @param {string} clientId
   * @returns {Promise<SupportMessage>}
   */
  async postMessage(content, clientId) {
    if (!this.#identity.known)
      await (this.#visitor ??= this.#createVisitor().finally(() => (this.#visitor = null)));
    return this.#json("POST", "support_chat/messages", { content, client_id: clientId });
  }

  /** @param {number} upTo @returns {Promise<{ unread_count: number, read_up_to: number }>} */
  markRead(upTo) {
    return this.#json("PATCH", "support_chat/mark_read", { up_to: upTo });
  }

  /**
   * Store a visitor's e-mail address.
   * @param {string} email
   * @returns {Promise<{ email: string | null }>}
   */
  updateVisitor(email) {
    return this.#json("PATCH", "visitors/me", { email });
  }

  /**
   * Open the stream of events. The caller reads the body of the response and aborts it.
   * @param {number} cursor the last seq that the caller has
   * @param {string | undefined} cursorId of that message
   * @param {AbortSignal} signal
   */
  openStream(cursor, cursorId, signal) {
    const resumed = query({ last_event_id: cursor, last_message_id: cursorId });
    return this.#authorized((token) =>
      this.#fetch(`support_chat/stream?${resumed}`, {
        headers: { ...bearer(token), Accept: "text/event-stream" },
        signal,
      }),
    );
  }

  /** Create one visitor for all tabs, even if several of them send a first message. */
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
    return (await this.#authorized((token) => this.#send(method, path, body, token))).json();
  }

  /**
   * Send with a token, and once more with a fresh one after a 401.
   * @param {(token: string | null) => Promise<Response>} send
   */
  async #authorized(send) {
    const token = await this.#identity.token().catch(noToken);
    const response = await send(token);
    if (response.status !== 401) return expectOk(response);
    return expectOk(await send(await this.#identity.freshToken(token).catch(noToken)));
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object | undefined} body
   * @param {string | null} token
   */
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

/** Treat a missing token like a refused one. @returns {never} */
function noToken() {
  throw new HttpError(401, 0, "");
}

/** @param {Record<string, number | string | undefined>} values those that are not known are omitted */
function query(values) {
  const known = Object.entries(values).filter(([, value]) => value !== undefined);
  return new URLSearchParams(known.map(([name, value]) => [name, String(value)]));
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

/**
 * Run `action` under a lock shared by all tabs; without it if there are no locks or the lock is not
 * released.
 * @param {string} name
 * @param {() => Promise<void>} action
 */
async function alone(name, action) {
  let started = false;
  const once = () => {
    started = true;
    return action();
  };
  const { locks } = globalThis.navigator ?? {};
  await locks
    ?.request(name, { signal: AbortSignal.timeout(REQUEST_LIMIT_MS) }, once)
    .catch((error) => {
      if (started) throw error;
    });
  if (!started) await once();
}
