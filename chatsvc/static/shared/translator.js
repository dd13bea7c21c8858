// @ts-check
/**
 * Texts in one language, in the form of chatsvc/languages/: placeholders, and plural forms by CLDR
 * category.
 */

/**
 * @typedef {Record<string, string | { other: string, [category: string]: string }>} Texts by key
 */

/**
 * Return the function that looks up a text. It fills `{placeholders}`; the value `n` chooses the
 * plural form.
 * @template {Texts} T
 * @param {string} language
 * @param {T} texts
 */
export function translator(language, texts) {
  const rules = new Intl.PluralRules(language);
  return (
    /** @type {keyof T & string} */ key,
    /** @type {Record<string, string | number>} */ values = {},
  ) => {
    const found = texts[key];
    const text =
      typeof found === "string" ? found : (found[rules.select(Number(values.n))] ?? found.other);
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
  };
}

/** @param {string} tag such as `de-AT` @returns {string} such as `de` */
export function primary(tag) {
  return tag.split("-")[0].toLowerCase();
}
