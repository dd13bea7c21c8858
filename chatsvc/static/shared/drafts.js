// @ts-check
/** Unsent text, stored in this browser until it is sent. */
import { recall, remember } from "./storage.js";

/** @param {string} key @returns {string} */
export function draft(key) {
  return recall(key) ?? "";
}

/** @param {string} key @param {string} text empty: delete the draft */
export function keepDraft(key, text) {
  remember(key, text);
}
