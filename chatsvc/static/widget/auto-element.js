// @ts-check
/** The element that the script adds by itself, where the host page only names the script. */

/** Adds an element to a page that has none, and again when a router has replaced the body. */
export function addElement() {
  const chat = document.createElement("support-chat");
  const place = () => {
    if (!chat.isConnected && !document.querySelector("support-chat")) document.body.append(chat);
    replaced.observe(document.body, { childList: true });
  };
  const replaced = new MutationObserver(() => chat.isConnected || place());
  replaced.observe(document.documentElement, { childList: true });
  place();
}
