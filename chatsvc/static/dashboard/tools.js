// @ts-check
/**
 * The header of all staff pages: switches for this browser, the help, and shortcuts for every page.
 */
import { h, icon } from "../shared/dom.js";
import { help } from "./help.js";
import { settingButton } from "./switches.js";
import { text } from "./texts.js";

const QUESTION =
  "M11 16.6h2v2.1h-2zM12 5.2c-2.5 0-4.2 1.5-4.3 3.9h2.1c.1-1.3.9-2 2.1-2s2 .7 2 1.8c0 .9-.5 1.4-1.4 2.1-1.1.8-1.6 1.5-1.5 3v.5h2v-.4c0-1 .4-1.4 1.4-2.2 1-.8 1.7-1.6 1.7-3 0-2.2-1.6-3.7-4.1-3.7z";

/** Add the buttons to the header. @returns {Record<string, () => void>} actions by key */
export function tools() {
  const hint = h("p", { class: "hint", role: "status" });
  const explain = (/** @type {string} */ problem) => {
    hint.textContent = problem;
  };
  const question = h(
    "button",
    { type: "button", class: "icon keys", "aria-label": text("keys"), title: text("keys") },
    icon(QUESTION),
  );
  const showHelp = help();
  question.addEventListener("click", showHelp);
  document
    .getElementById("tools")
    ?.append(settingButton("notifications", explain), settingButton("sound", explain), question);
  document.getElementById("stale")?.after(hint);
  const search = () =>
    /** @type {HTMLElement | null} */ (document.querySelector("input[type=search]"))?.focus();
  return { "/": search, "?": showHelp };
}
