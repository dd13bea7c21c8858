// @ts-check
/** Finds http, https and mailto addresses in text, and shows them as links. */
import { h } from "./dom.js";

const ADDRESS = /\b(?:https?:\/\/|mailto:)[^\s<>"'`\u202a-\u202e\u2066-\u2069]+/gi;
const TRAILING = /[.,;:!?)\]}]+$/; // ends the sentence, not the address
const SCHEMES = ["http:", "https:", "mailto:"];

/**
 * @param {string} text
 * @returns {{ text: string, href: string | null }[]} the whole text in pieces
 */
export function split(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const shown = match[0].replace(TRAILING, "");
    if (!safe(shown)) continue;
    pieces.push({ text: text.slice(end, match.index), href: null }, { text: shown, href: shown });
    end = match.index + shown.length;
  }
  pieces.push({ text: text.slice(end), href: null });
  return pieces.filter((piece) => piece.text !== "");
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
