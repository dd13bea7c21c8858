// @ts-check
/**
 * The identity: the token of the host application's user, or of the visitor stored in this browser.
 */
import { recall, remember } from "../shared/storage.js";

// for getToken, which sends a request to the host application's server
export const TOKEN_LIMIT_MS = 15_000;

/** @typedef {{ token: string | null, getToken: (() => Promise<string> | string) | null }} Source */

export class Identity {
  /** @type {Source} a copy: a later token of the host page may be another person's */ #source;
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

  /** Whether the host application gives a token. */
  get isGiven() {
    return Boolean(this.#source.token || this.#source.getToken);
  }

  /** True if a request can be authorized without a new visitor. */
  get known() {
    return this.isGiven || Boolean(this.#visitor);
  }

  /** Rejects if the host page does not give one. @returns {Promise<string | null>} */
  async token() {
    const { token, getToken } = this.#source;
    if (getToken) return (this.#token ??= await Promise.race([getToken(), timeout()]));
    return token || this.#visitor;
  }

  /**
   * Return another token after the server refused one, which may not be the current one any more. A
   * refused visitor's token is forgotten.
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

  /** Take the renewed token of the same person. @param {Identity} renewed */
  renew(renewed) {
    this.#source = renewed.#source;
    this.#token = renewed.#token;
  }

  /** @param {string | null} token */
  rememberVisitor(token) {
    this.#visitor = token;
    remember(this.key, token);
  }

  /** Read the visitor's token again: another tab has stored or deleted it. */
  recallVisitor() {
    this.#visitor = recall(this.key);
  }

  /**
   * Return the host application's user, to tell a renewed token from another person's; null for
   * visitors.
   */
  async subject() {
    const token = this.isGiven ? await this.token() : null;
    return token ? (claim(token, "sub") ?? token) : null;
  }

  /** Return a name for the person, unique in this browser. @param {string | null} subject */
  person(subject) {
    return subject === null
      ? `visitor:${this.#visitor ? claim(this.#visitor, "sub") : ""}`
      : `user:${subject}`;
  }
}

/** @returns {Promise<never>} */
function timeout() {
  return new Promise((_, reject) => setTimeout(reject, TOKEN_LIMIT_MS, new Error("no token")));
}

/**
 * Read a claim without verifying the token: only the server does that.
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
