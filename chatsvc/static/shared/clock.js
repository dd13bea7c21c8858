// @ts-check
/** Formats of times and dates: the language of the text, the region of the browser. */

// Intl throws for other tags, such as `en_US` in a page or `en-US@posix` in a browser
const WELL_FORMED = /^[a-z]{2,3}(-[a-z\d]{2,8})*$/i;

/**
 * @param {string} language of the surrounding text
 * @returns {string} such as `en-GB` for `en` in a British browser
 */
export function locale(language) {
  const primary = language.slice(0, 2).toLowerCase();
  const known = [...navigator.languages, language].filter((tag) => WELL_FORMED.test(tag));
  return known.find((tag) => tag.toLowerCase().split("-")[0] === primary) ?? primary;
}

/**
 * Return the format of a message's time. `timeStyle` uses the locale's own pattern; with single
 * fields, 00:53 was written 0:53 in en-GB and de.
 * @param {string} language of the surrounding text
 */
export function clockFormat(language) {
  return new Intl.DateTimeFormat(locale(language), { timeStyle: "short" });
}
