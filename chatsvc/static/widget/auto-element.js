// @ts-check
/** Adds <support-chat> to a page that only includes the script. */

/** Add an element if the page has none, and again when a router has replaced the body. */
export function addElement() {
  const chat = document.createElement("support-chat");
  // not document.body and document.documentElement: forms of the page may have these names
  const find = (/** @type {string} */ tag) => /** @type {Element} */ (document.querySelector(tag));
  const place = () => {
    if (!chat.isConnected && !document.querySelector("support-chat")) find("body").append(chat);
    replaced.observe(find("body"), { childList: true });
  };
  const replaced = new MutationObserver(() => chat.isConnected || place());
  replaced.observe(find("html"), { childList: true });
  place();
}
