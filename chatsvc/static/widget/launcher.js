// @ts-check
/** The round button. Until the panel is opened, there is nothing else. */
import LANGUAGES from "texts:launcher";
import { BUBBLE, CROSS } from "../shared/icons.js";
import { translator } from "../shared/translator.js";
import { chooseLanguage } from "./language.js";

const MOST_COUNTED = 9; // the badge has room for one digit

// `!important` wins over rules of the host page such as `* { all: unset }`
export const STYLE = `
:host { all: initial !important; display: block !important; position: fixed !important; z-index: 2147483000 !important;
  inset-block-end: max(20px, env(safe-area-inset-bottom)) !important;
  inset-inline-end: max(20px, env(safe-area-inset-right)) !important;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif !important; }
:host([hidden]) { display: none !important; }
.launcher { position: relative; display: grid; place-items: center; inline-size: 56px; block-size: 56px; padding: 0; border: 0;
  border-radius: 50%; background: var(--accent); color: var(--on-accent); cursor: pointer; transition: transform .15s;
  box-shadow: 0 1px 3px rgb(0 0 0 / .25), 0 8px 24px rgb(0 0 0 / .2); }
.launcher:hover { transform: scale(1.05); }
.launcher:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; box-shadow: 0 0 0 3px #fff; }
.launcher svg { inline-size: 28px; block-size: 28px; fill: currentColor; }
.badge { position: absolute; inset-block-start: -4px; inset-inline-end: -4px; min-inline-size: 22px; box-sizing: border-box;
  padding: 0 6px; border-radius: 11px; background: #c5221f; color: #fff; font-size: 13px; line-height: 22px; font-weight: 600; text-align: center; }
.badge[hidden] { display: none; }
@media (max-width: 479.98px) { :host([open]) .launcher { display: none; } }
@media (prefers-reduced-motion: reduce) { .launcher { transition: none; } }
@media print { :host { display: none !important; } }
@media (forced-colors: active) { .launcher, .badge { border: 2px solid ButtonText; } }`;

export class Launcher {
  node = document.createElement("button");
  #path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  #badge = document.createElement("span");

  /**
   * @param {{ pressed: () => void, approached: () => void }} actions approached: somebody may be
   * about to press it
   */
  constructor({ pressed, approached }) {
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    icon.append(this.#path);
    this.#badge.className = "badge";
    this.node.type = "button";
    this.node.className = "launcher";
    this.node.append(icon, this.#badge);
    this.node.addEventListener("click", pressed);
    for (const name of ["pointerenter", "focus"]) this.node.addEventListener(name, approached);
  }

  /** @param {HTMLElement} host @param {boolean} open @param {number} unread */
  show(host, open, unread) {
    const language = chooseLanguage(LANGUAGES, host);
    const text = translator(language, LANGUAGES[language]);
    const number = unread > MOST_COUNTED ? `${MOST_COUNTED}+` : String(unread);
    const label = open ? text("close") : text("open");
    this.node.setAttribute(
      "aria-label",
      unread ? `${label}, ${text("unread", { n: unread, number })}` : label,
    );
    this.node.setAttribute("aria-expanded", String(open));
    this.#path.setAttribute("d", open ? CROSS : BUBBLE);
    this.#badge.textContent = number;
    this.#badge.hidden = open || unread === 0;
  }
}
