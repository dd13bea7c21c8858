// @ts-check
/**
 * What scripts say. The page brings the texts: the part "dashboard_js" of chatsvc/languages/ in its
 * language.
 */
import { translator } from "../shared/translator.js";

/** @type {typeof import("../../languages/en.json")["dashboard_js"]} */
const TEXTS = JSON.parse(document.body.dataset.texts ?? "{}");

export const text = translator(document.documentElement.lang, TEXTS);
