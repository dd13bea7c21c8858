// @ts-check
/**
 * Renews the user's token, as the script of a host page does, and applies the choices of the demo
 * at once.
 */

const chat = document.querySelector("support-chat");
const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form.switch"));

async function getToken() {
  const response = await fetch(`/demo/token?as=${chat?.dataset.user}`, {
    headers: { Accept: "application/json" },
  });
  if (!response.ok) throw new Error(`no token: ${response.status}`);
  return (await response.json()).token;
}

/** @param {HTMLElement & { name?: string, value?: string }} field */
function change({ name, value }) {
  if (name === "as")
    form?.submit(); // another user needs another page
  else if (name && value) chat?.setAttribute(name, value);
  else if (name) chat?.removeAttribute(name);
}

if (chat?.dataset.user) chat.getToken = getToken;
form?.addEventListener("input", ({ target }) => {
  if (!(target instanceof HTMLElement)) return;
  const choices = [...new FormData(form)].map(([name, value]) => [name, String(value)]);
  // kept by a reload and in a shared address
  history.replaceState(null, "", `?${new URLSearchParams(choices)}`);
  change(target);
});
