// @ts-check
/** Who is asking: the token of the host application's user, or of a visitor whom this browser remembers. */
import { recall, remember } from "../shared/storage.js";

export const TOKEN_LIMIT_MS = 15_000; // for the host page to give one: it asks its own server, which may be as far away as ours

/** @typedef {{ token: string | null, getToken: (() => Promise<string> | string) | null }} Source */

export class Identity {
  /** @type {Source} as it was: what the host page says later is somebody else until it is known who */ #source;
  /** @type {string | null} from getToken */ #token = null;
  /** @type {string | null} */ #visitor = null;

  /**
   * @param {Source} host
   * @param {string} key name of the visitor's token in this browser's storage
   */
  constructor(host, key) {
    this.#source = { token: host.token, getToken: host.getToken };
    this.key = key;
    this.#visitor = recall(key);
  }

  /** Whether the host application says who it is. */
  get isGiven() {
    return Boolean(this.#source.token || this.#source.getToken);
  }

  /** True when a request can be authorised without making a new visitor. */
  get known() {
    return this.isGiven || Boolean(this.#visitor);
  }

  /** Rejects when the host page does not give one. @returns {Promise<string | null>} */
  async token() {
    const { token, getToken } = this.#source;
    if (getToken) return (this.#token ??= await Promise.race([getToken(), tooLate()]));
    return token || this.#visitor;
  }

  /**
   * After the server refused a token, which may not be the newest one any more. A visitor whose token is refused
   * becomes unknown again.
   * @param {string | null} refused
   */
  async freshToken(refused) {
    if (this.#token === refused) this.#token = null;
    if (!this.isGiven && this.#visitor === refused) {
      if (recall(this.key) === refused) remember(this.key, null);
      this.recallVisitor();
    }
    return this.token();
  }

  /** The same person with a renewed token. @param {Identity} renewed */
  renew(renewed) {
    this.#source = renewed.#source;
    this.#token = renewed.#token;
  }

  /** @param {string | null} token */
  rememberVisitor(token) {
    this.#visitor = token;
    remember(this.key, token);
  }

  /** Another tab has made a visitor, or forgotten it. */
  recallVisitor() {
    this.#visitor = recall(this.key);
  }

  /** The host application's user, so that a renewed token can be told from another person's; null for visitors. */
  async subject() {
    const token = this.isGiven ? await this.token() : null;
    return token ? (claim(token, "sub") ?? token) : null;
  }

  /** Names the person among all who use this browser. @param {string | null} subject */
  person(subject) {
    return subject === null
      ? `visitor:${this.#visitor ? claim(this.#visitor, "sub") : ""}`
      : `user:${subject}`;
  }
}

/** @returns {Promise<never>} */
function tooLate() {
  return new Promise((_, reject) => setTimeout(reject, TOKEN_LIMIT_MS, new Error("no token")));
}

/**
 * Reads a claim without checking anything: the server decides what a token is worth.
 * @param {string} token @param {string} name @returns {string | null}
 */
function claim(token, name) {
  try {
    const payload = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return String(JSON.parse(atob(payload))[name] ?? "") || null;
  } catch {
    return null;
  }
}
