// @ts-check
/** Who is asking: the token of the host application's user, or of a visitor whom this browser remembers. */
import { recall, remember } from "./storage.js";

export class Identity {
  #host;
  #key;
  /** @type {string | null} */ #token = null;
  /** @type {string | null} */ #visitor = null;

  /**
   * @param {{ token: string | null, getToken: (() => Promise<string> | string) | null }} host
   * @param {string} key name of the visitor's token in this browser's storage
   */
  constructor(host, key) {
    this.#host = host;
    this.#key = key;
    this.#visitor = recall(key);
  }

  /** True when a request can be authorised without making a new visitor. */
  get known() {
    return Boolean(this.#host.token || this.#host.getToken || this.#visitor);
  }

  /** @returns {Promise<string | null>} */
  async token() {
    if (this.#host.getToken) return (this.#token ??= await this.#host.getToken());
    return this.#host.token || this.#visitor;
  }

  /** After the server refused the token. A visitor whose token is refused becomes unknown again. */
  async freshToken() {
    this.#token = null;
    if (!this.#host.getToken && !this.#host.token) this.rememberVisitor(null);
    return this.token();
  }

  /** @param {string | null} token */
  rememberVisitor(token) {
    this.#visitor = token;
    remember(this.#key, token);
  }

  /** Another tab has made a visitor, or forgotten it. */
  recallVisitor() {
    this.#visitor = recall(this.#key);
  }

  /** The host application's user, so that a renewed token can be told from another person's; null for visitors. */
  async subject() {
    const token = this.#host.token || this.#host.getToken ? await this.token() : null;
    return token ? claim(token, "sub") ?? token : null;
  }

  /** Names the person among all who use this browser. @param {string | null} subject */
  person(subject) {
    return subject === null ? `visitor:${this.#visitor ? claim(this.#visitor, "sub") : ""}` : `user:${subject}`;
  }
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
