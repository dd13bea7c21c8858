// @ts-check
/** What scripts say, in the page's language: the page brings the texts, those of the part "dashboard_js" in chatsvc/languages/. */
import { fill } from "../shared/fill.js";

/** @type {Record<string, string>} */
const TEXTS = JSON.parse(document.body.dataset.texts ?? "{}");

/** @param {string} key @param {Record<string, string | number>} [values] for `{name}` in the text */
export function text(key, values = {}) {
  return fill(TEXTS[key] ?? key, values);
}
