// @ts-check
/** What a host page's own script does: it renews the user's token. And the demo's switches, which take effect at once. */

const chat = document.querySelector("support-chat");
const form = /** @type {HTMLFormElement | null} */ (document.querySelector("form.switch"));

async function getToken() {
  const answer = await fetch(`/demo/token?as=${chat?.dataset.user}`, {
    headers: { Accept: "application/json" },
  });
  if (!answer.ok) throw new Error(`no token: ${answer.status}`);
  return (await answer.json()).token;
}

/** @param {HTMLElement & { name?: string, value?: string }} field */
function change({ name, value }) {
  if (name === "as")
    form?.submit(); // another user is another page
  else if (name && value) chat?.setAttribute(name, value);
  else if (name) chat?.removeAttribute(name);
}

if (chat?.dataset.user) chat.getToken = getToken;
form?.addEventListener("input", ({ target }) => {
  if (!(target instanceof HTMLElement)) return;
  const choices = [...new FormData(form)].map(([name, value]) => [name, String(value)]);
  history.replaceState(null, "", `?${new URLSearchParams(choices)}`); // a reload and a shared address show the same
  change(target);
});
