// @ts-check
/** The accent color, and a readable color for text on it. */

const DARK = "#000000"; // one of white and pure black always has a contrast of at least 4.58:1
const LIGHT = "#ffffff";

/**
 * Return the relative luminance as WCAG 2 defines it.
 * @param {string} hex `#rrggbb`
 */
export function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const channel = parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/**
 * Return the contrast ratio of two colors.
 * @param {string} one
 * @param {string} other
 * @returns {number} 1 to 21
 */
export function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/**
 * Return white if it is readable (4.5:1), as most brands expect; else black.
 * @param {string} hex
 */
export function textOn(hex) {
  return contrast(hex, LIGHT) >= 4.5 ? LIGHT : DARK;
}

/**
 * Return any CSS color as `#rrggbb`, or null if it is not an opaque color. A canvas knows all
 * notations.
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
