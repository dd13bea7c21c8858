// @ts-check
/** The texts of the panel. The bundler takes them from the part "widget" of chatsvc/languages/. */
import LANGUAGES from "texts:widget";
import { translator } from "../shared/translator.js";
import { chooseLanguage } from "./language.js";

/** @typedef {ReturnType<typeof texts>} Text looks up a text by its key */

/** @param {string} language one of `panelLanguage` */
export function texts(language) {
  return translator(language, LANGUAGES[language]);
}

/** Return the language of the panel. @param {HTMLElement} host */
export function panelLanguage(host) {
  return chooseLanguage(LANGUAGES, host);
}
