// @ts-check
/**
 * Fetches server-rendered HTML as a document. XMLHttpRequest parses it itself: there is no string that becomes markup in
 * this program, so pages can forbid every such place (`require-trusted-types-for 'script'; trusted-types 'none'`).
 * Nothing in a document made this way runs.
 */

const REQUEST_LIMIT_MS = 15_000;

/** @param {string} url of this server @returns {Promise<Document>} */
export function fetchDocument(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = REQUEST_LIMIT_MS;
    request.onload = () => {
      if (loggedOut(request)) location.reload(); // the page itself leads to the login and back
      else if (request.status === 200 && request.responseXML) return resolve(request.responseXML);
      reject(new Error(`HTTP ${request.status}`));
    };
    request.onerror = request.ontimeout = () => reject(new Error("no answer"));
    request.send();
  });
}

/** @param {XMLHttpRequest} request */
function loggedOut(request) {
  return request.status === 401 || new URL(request.responseURL || location.href).pathname === "/login";
}

/** A request that changes something. @param {string} url @param {object} body @returns {Promise<any>} throws an Error whose message is for people */
export async function post(url, body) {
  const token = document.querySelector("meta[name=xsrf-token]")?.getAttribute("content") ?? "";
  const signal = AbortSignal.timeout(REQUEST_LIMIT_MS);
  const headers = { "Content-Type": "application/json", "X-XSRFToken": token };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal })
    .catch(() => { throw new Error("The server does not answer. Your text is still here: try again."); });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.errors?.[0]?.detail || answer.detail || answer.title || `Error ${response.status}`);
  return answer;
}
