// @ts-check
/** What was typed and not sent, kept in this browser until it is. */
import { recall, remember } from "./storage.js";

/** @param {string} key @returns {string} */
export function draft(key) {
  return recall(key) ?? "";
}

/** @param {string} key @param {string} text empty: nothing is kept */
export function keepDraft(key, text) {
  remember(key, text);
}
