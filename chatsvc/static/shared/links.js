// @ts-check
/** Find http, https and mailto addresses in text and show them as links. */
import { h } from "./dom.js";

// ASCII without space, quotes and angle brackets. Beyond ASCII, no punctuation of any script
// (except en and em dash, which are in titles of Wikipedia) and no invisible characters
// (zero-width, direction, control).
const ADDRESS =
  /\b(?:https?:\/\/|mailto:)(?:[!#-&(-;=?-_a-~–—]|(?![\p{P}\p{C}\p{Z}])\P{ASCII})+/giu;
const TRAILING = /[.,;:!?([{–—]+$/; // belongs to the sentence
const PARTNERS = new Map([
  [")", "("],
  ["]", "["],
  ["}", "{"],
]);
const SCHEMES = ["http:", "https:", "mailto:"];
const AUTHORITY = /^https?:\/\/([^/?#]*)/i;

/**
 * Split a text into plain text and links. `href` is null for plain text.
 * @param {string} text
 * @returns {{ text: string, href: string | null }[]}
 */
export function split(text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = balanced(match[0]).replace(TRAILING, "");
    const link = target(address);
    if (!link) continue;
    pieces.push({ text: text.slice(end, match.index), href: null }, link);
    end = match.index + address.length;
  }
  pieces.push({ text: text.slice(end), href: null });
  return pieces.filter((piece) => piece.text !== "");
}

/** Return the part before the first closing bracket without a partner. @param {string} address */
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

/**
 * Return the link of an address, or null if it is not safe. If the browser would go to another host
 * than the one that is written (look-alike characters, a user name before the host), the link shows
 * the real address.
 * @param {string} address
 */
function target(address) {
  const url = parsed(address);
  if (!url || !SCHEMES.includes(url.protocol)) return null;
  const written = AUTHORITY.exec(address)?.[1] ?? "";
  if (written.toLowerCase() === url.host) return { text: address, href: address };
  url.username = url.password = "";
  return { text: url.href, href: url.href };
}

/** @param {string} address */
function parsed(address) {
  try {
    return new URL(address);
  } catch {
    return null;
  }
}

/** Return the text as nodes, with links. @param {string} text @returns {(Node | string)[]} */
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
