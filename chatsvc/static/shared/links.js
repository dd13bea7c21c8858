// @ts-check
/** Finds http, https and mailto addresses in text, and shows them as links. */
import { h } from "./dom.js";

// ASCII without space, quotes and angle brackets; beyond ASCII neither punctuation of any script
// (except en and em dash: Wikipedia has them in titles) nor characters without a shape
// (zero-width, direction, control)
const ADDRESS =
  /\b(?:https?:\/\/|mailto:)(?:[!#-&(-;=?-_a-~–—]|(?![\p{P}\p{C}\p{Z}])\P{ASCII})+/giu;
const TRAILING = /[.,;:!?([{–—]+$/; // ends the sentence, not the address
const PARTNERS = new Map([
  [")", "("],
  ["]", "["],
  ["}", "{"],
]);
const SCHEMES = ["http:", "https:", "mailto:"];

/**
 * @param {string} text
 * @returns {{ text: string, href: string | null }[]} the whole text in pieces
 */
export function split(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const shown = balanced(match[0]).replace(TRAILING, "");
    if (!safe(shown)) continue;
    pieces.push({ text: text.slice(end, match.index), href: null }, { text: shown, href: shown });
    end = match.index + shown.length;
  }
  pieces.push({ text: text.slice(end), href: null });
  return pieces.filter((piece) => piece.text !== "");
}

/** The part before the first closing bracket without a partner. @param {string} address */
function balanced(address) {
  /** @type {string[]} */
  const open = [];
  for (let at = 0; at < address.length; at += 1) {
    const partner = PARTNERS.get(address[at]);
    if (partner && open.pop() !== partner) return address.slice(0, at);
    if ("([{".includes(address[at])) open.push(address[at]);
  }
  return address;
}

/** @param {string} address */
function safe(address) {
  try {
    return SCHEMES.includes(new URL(address).protocol);
  } catch {
    return false;
  }
}

/** @param {string} text @returns {(Node | string)[]} */
export function linked(text) {
  return split(text).map((piece) =>
    piece.href === null
      ? piece.text
      : h(
          "a",
          { href: piece.href, target: "_blank", rel: "noopener noreferrer nofollow" },
          piece.text,
        ),
  );
}
