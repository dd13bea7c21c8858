// @ts-check
/** What was typed and not sent, kept in this browser until it is. Works, for the time of the page, without storage too. */

/** @param {string} key @returns {string} */
export function draft(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} key @param {string} text empty: nothing is kept */
export function keepDraft(key, text) {
  try {
    if (text) localStorage.setItem(key, text);
    else localStorage.removeItem(key);
  } catch {
    // storage is switched off or full
  }
}
