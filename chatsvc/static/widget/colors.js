// @ts-check
/** The brand colour, and a colour for text on it that everybody can read. */

const DARK = "#000000"; // nothing lighter: of white and pure black one always reaches 4.58:1
const LIGHT = "#ffffff";

/**
 * Relative luminance as WCAG 2 defines it.
 * @param {string} hex `#rrggbb`
 */
export function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const channel = parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** @param {string} one @param {string} other @returns {number} 1 to 21 */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/**
 * White where it is readable (4.5:1), as most brands expect; else black.
 * @param {string} hex
 */
export function textOn(hex) {
  return contrast(hex, LIGHT) >= 4.5 ? LIGHT : DARK;
}

/**
 * Any CSS colour as `#rrggbb`, or null for what is no opaque colour. A canvas knows all the notations.
 * @param {string | null} color
 */
export function hex(color) {
  const context = color && document.createElement("canvas").getContext("2d");
  if (!context) return null;
  const [before, after] = ["#000000", "#ffffff"].map((start) => {
    context.fillStyle = start;
    context.fillStyle = color;
    return String(context.fillStyle);
  });
  return before === after && /^#[0-9a-f]{6}$/.test(before) ? before : null;
}
