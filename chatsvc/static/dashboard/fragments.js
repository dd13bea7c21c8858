// @ts-check
/**
 * Fetches server-rendered HTML as a document. XMLHttpRequest parses it, so no script turns a string
 * into markup, and pages can forbid that (`require-trusted-types-for 'script'; trusted-types
 * 'none'`). Scripts in such a document do not run.
 */
import { REQUEST_LIMIT_MS } from "../shared/limits.js";
import { MAX_CHARACTERS } from "../shared/text-input.js";
import { text } from "./texts.js";

/** @type {Map<number, "too_long" | "too_many" | "unavailable">} */
const REASONS = new Map([
  [413, "too_long"],
  [429, "too_many"],
  [503, "unavailable"],
]);

/** A response other than success. The message is for people. */
export class Refused extends Error {
  /** @param {number} status */
  constructor(status) {
    super(text(`failed_${REASONS.get(status) ?? "other"}`, { status, n: MAX_CHARACTERS }));
    this.status = status;
  }
}

/**
 * @param {string} url of this server
 * @returns {Promise<Document>} rejects with Refused, or with an Error if there is no response
 */
export function fetchDocument(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.overrideMimeType("text/html"); // Firefox reports any other response as malformed XML
    request.timeout = REQUEST_LIMIT_MS;
    request.onload = () => {
      if (loggedOut(request.status, request.responseURL))
        location.reload(); // the server redirects to the login and back
      else if (request.status === 200 && request.responseXML) return resolve(request.responseXML);
      reject(new Refused(request.status));
    };
    request.onerror = request.ontimeout = () => reject(new Error(text("no_answer")));
    request.send();
  });
}

/** @param {number} status @param {string} url */
function loggedOut(status, url) {
  return status === 401 || new URL(url || location.href).pathname === "/login";
}

/** Send a change. Rejects like fetchDocument. @param {string} url @param {object} body */
export async function post(url, body) {
  const token = document.querySelector("meta[name=xsrf-token]")?.getAttribute("content") ?? "";
  return send(url, JSON.stringify(body), {
    "Content-Type": "application/json",
    "X-XSRFToken": token,
  });
}

/**
 * Submit a form without leaving the page. Rejects like fetchDocument.
 * @param {HTMLFormElement} form
 */
export async function submit(form) {
  return send(form.action, new URLSearchParams(/** @type {any} */ (new FormData(form))), {});
}

/** @param {string} url @param {BodyInit} body @param {Record<string, string>} headers */
async function send(url, body, headers) {
  const signal = AbortSignal.timeout(REQUEST_LIMIT_MS);
  const response = await fetch(url, {
    method: "POST",
    headers,
    body,
    signal,
    redirect: "manual",
  }).catch(() => {
    throw new Error(text("no_answer"));
  });
  // the response to a form is a redirect
  if (!response.ok && response.type !== "opaqueredirect") throw new Refused(response.status);
}
