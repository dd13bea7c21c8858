// @ts-check
/**
 * The chat's keys in the browser's storage: drafts and unsent messages per person, the visitor's
 * token and answers.
 */
import { recall, remember } from "../shared/storage.js";

export class Memory {
  #key;

  /** @param {string} key prefix of all keys */
  constructor(key) {
    this.#key = key;
    this.visitor = `${key}visitor`;
    this.muted = `${key}muted`;
  }

  /** @param {"draft" | "outbox"} what @param {string | null | undefined} subject null: a visitor */
  of(what, subject) {
    return `${this.#key}${what}:${subject ?? ""}`;
  }

  /** Return the name of the channel between the tabs of one person. @param {string} person */
  tabs(person) {
    return this.#key + person;
  }

  /** Whether the visitor has answered the question for an address. */
  get contactAnswered() {
    return recall(`${this.#key}contact`) !== null;
  }

  /** @param {"given" | "skipped"} answer */
  answerContact(answer) {
    remember(`${this.#key}contact`, answer);
  }

  /** Delete the visitor's data: a user has signed in. */
  forgetVisitor() {
    for (const name of ["visitor", "draft:", "outbox:", "contact"])
      remember(this.#key + name, null);
  }
}
