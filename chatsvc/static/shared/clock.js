// @ts-check
/** How the reader writes times and dates: the language is the text's, the region the browser's. */

const WELL_FORMED = /^[a-z]{2,3}(-[a-z\d]{2,8})*$/i; // Intl throws at others, such as `en_US` in a page, or `en-US@posix` in a browser

/** @param {string} language of the text around @returns {string} such as `en-GB` for `en` in a British browser */
export function locale(language) {
  const primary = language.slice(0, 2).toLowerCase();
  const known = [...navigator.languages, language].filter((tag) => WELL_FORMED.test(tag));
  return known.find((tag) => tag.toLowerCase().split("-")[0] === primary) ?? primary;
}

/**
 * The clock of a message. `timeStyle` is the locale's own pattern; asking for single fields made midnight 0:53 in en-GB and de.
 * @param {string} language of the text around
 */
export function clockFormat(language) {
  return new Intl.DateTimeFormat(locale(language), { timeStyle: "short" });
}
