// @ts-check
/** The look and the words of the round button; all that is there before the panel is opened. */

/** To open, to close. @type {Record<string, [string, string]>} */
export const LABELS = { en: ["Open support chat", "Close support chat"], de: ["Support-Chat öffnen", "Support-Chat schließen"] };
export const BUBBLE = "M12 3C6.8 3 3 6.5 3 10.9c0 2.4 1.2 4.6 3.1 6 0 1.3-.5 2.6-1.4 3.6 1.9-.1 3.6-.7 5-1.8.7.1 1.5.2 2.3.2 5.2 0 9-3.5 9-8S17.2 3 12 3z";
export const CROSS = "M6.4 5 5 6.4l5.6 5.6L5 17.6 6.4 19l5.6-5.6 5.6 5.6 1.4-1.4-5.6-5.6L19 6.4 17.6 5 12 10.6z";

// `!important` wins over the host page's own rules (`* { all: unset }`), and only inside this element
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
@media (forced-colors: active) { .launcher { border: 2px solid ButtonText; } }`;
