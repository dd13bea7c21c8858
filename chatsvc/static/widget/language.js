// @ts-check
/** The language of the widget: what the element says, else the page, else the browser. */
import { primary } from "../shared/translator.js";

const DEFAULT = "en";

/** @param {HTMLElement} host @returns {string[]} such as `de-AT`, best first */
function wishes(host) {
  const page = host.closest("html")?.lang; // a form of the page may have the name "documentElement"
  return [host.lang, page ?? "", ...navigator.languages];
}

/**
 * Return the first wish that has texts.
 * @param {Record<string, unknown>} languages texts by language
 * @param {HTMLElement} host
 */
export function chooseLanguage(languages, host) {
  return (
    wishes(host)
      .map(primary)
      .find((language) => Object.hasOwn(languages, language)) ?? DEFAULT
  );
}

/**
 * Return all wishes as an Accept-Language header that needs no preflight.
 * @param {HTMLElement} host
 */
export function acceptLanguage(host) {
  return [...new Set(wishes(host).map((wish) => /^[a-z]{2,3}/i.exec(wish)?.[0]))]
    .filter(Boolean)
    .slice(0, 9)
    .join();
}
