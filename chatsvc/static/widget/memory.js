// @ts-check
/** What this browser keeps for the chat, by name: drafts and unsent messages per person, the visitor's token and answers. */
import { recall, remember } from "../shared/storage.js";

export class Memory {
  #key;

  /** @param {string} key all names begin with it */
  constructor(key) {
    this.#key = key;
    this.visitor = `${key}visitor`;
    this.muted = `${key}muted`;
  }

  /** @param {"draft" | "outbox"} what @param {string | null | undefined} subject null: a visitor */
  of(what, subject) {
    return `${this.#key}${what}:${subject ?? ""}`;
  }

  /** @param {string} person what the tabs of one person call themselves */
  tabs(person) {
    return this.#key + person;
  }

  /** Whether the visitor was asked for an address and has answered. */
  get contactAnswered() {
    return recall(`${this.#key}contact`) !== null;
  }

  /** @param {"given" | "skipped"} answer */
  answerContact(answer) {
    remember(`${this.#key}contact`, answer);
  }

  /** Somebody has signed in: what the visitor before left in this browser goes. */
  forgetVisitor() {
    for (const name of ["visitor", "draft:", "outbox:", "contact"])
      remember(this.#key + name, null);
  }
}
