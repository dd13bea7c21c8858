// @ts-check
/** The style sheet of the panel. The loader sets the accent color and its text color. */

const LIGHT = `--bg: #ffffff; --fg: #1d1f23; --muted: #5d636d; --line: #e3e6ea; --soft: #f1f3f5; --danger: #b3261e; --live: #1a7f37; --amber: #b26a00; --shadow: 0 12px 40px rgb(20 24 32 / .18), 0 2px 8px rgb(20 24 32 / .1); color-scheme: light;`;
const DARK = `--bg: #1b1d21; --fg: #eceef1; --muted: #a5acb8; --line: #34383f; --soft: #2a2d33; --danger: #ff8a80; --live: #4cc36f; --amber: #f0b04c; --shadow: 0 12px 40px rgb(0 0 0 / .6), 0 0 0 1px #34383f; color-scheme: dark;`;

export const SHEET = `
:host { ${LIGHT} }
@media (prefers-color-scheme: dark) { :host(:not([theme="light"])) { ${DARK} } }
:host([theme="dark"]) { ${DARK} }

.panel, .panel * { box-sizing: border-box; }
.panel { position: absolute; inset-block-end: 72px; inset-inline-end: 0; inline-size: 384px; block-size: min(640px, calc(100dvh - 124px));
  display: flex; flex-direction: column; overflow: hidden; border-radius: 16px; background: var(--bg); color: var(--fg); box-shadow: var(--shadow);
  text-align: start; animation: up .18s ease-out; }
.panel[hidden] { display: none; }
.panel:focus { outline: none; }
@keyframes up { from { opacity: 0; transform: translateY(12px); } }
.hidden { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
button { font: inherit; cursor: pointer; }
button:focus-visible, a:focus-visible, .list:focus-visible { outline: 2px solid currentColor; outline-offset: -3px; }

header { display: flex; align-items: center; gap: 10px; padding-block: max(14px, env(safe-area-inset-top)) 14px; padding-inline: 18px 8px;
  background: var(--accent); color: var(--on-accent); }
header div { flex: 1; min-inline-size: 0; }
h2 { margin: 0; font-size: 17px; font-weight: 650; line-height: 1.3; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.status { display: flex; align-items: center; gap: 7px; margin: 0; font-size: 13px; }
.dot { flex: none; inline-size: 9px; block-size: 9px; border-radius: 50%; background: #9aa0a9; box-shadow: 0 0 0 2px var(--on-accent); }
.dot.live { background: #1f9d4d; } .dot.connecting, .dot.polling { background: #e59a1c; }
.round { display: grid; place-items: center; flex: none; inline-size: 44px; block-size: 44px; padding: 0; border: 0; border-radius: 10px; background: none; color: inherit; }
.round:hover { background: rgb(127 127 127 / .25); }
svg { inline-size: 22px; block-size: 22px; fill: currentColor; }

.list { position: relative; flex: 1; min-block-size: 0; margin: 0; padding: 16px 16px 8px; list-style: none; overflow-y: auto; overscroll-behavior: contain; overflow-anchor: none; }
.day { margin: 14px 0 10px; text-align: center; font-size: 12px; color: var(--muted); }
.note { min-block-size: 20px; margin: 0 0 12px; text-align: center; font-size: 13px; color: var(--muted); }
.greeting { max-inline-size: 84%; inline-size: fit-content; margin: 0 0 12px; padding: 9px 13px; border-radius: 16px; border-end-start-radius: 5px; background: var(--soft); }
.message { display: flex; flex-direction: column; align-items: flex-start; margin-block-start: 2px; }
.message.first { margin-block-start: 12px; }
.message.own { align-items: flex-end; }
.bubble { max-inline-size: 84%; padding: 9px 13px; border-radius: 16px; background: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: plaintext; }
.message.last .bubble { border-end-start-radius: 5px; }
.own .bubble { background: var(--accent); color: var(--on-accent); }
.own.last .bubble { border-end-start-radius: 16px; border-end-end-radius: 5px; }
.bubble a { color: inherit; unicode-bidi: isolate; direction: ltr; }
.failed .bubble { outline: 1px solid var(--danger); outline-offset: 2px; }
.meta { display: flex; align-items: center; gap: 6px; margin: 3px 4px 0; font-size: 12px; color: var(--muted); }
.meta > *, .status > *, .day, .note, .jump { unicode-bidi: plaintext; }
.failed { margin-block: 6px; }
.failed .meta { color: var(--danger); text-align: end; }
.plain { min-block-size: 44px; white-space: nowrap; padding: 0 6px; border: 0; background: none; color: inherit; font-size: 12px; font-weight: 650; text-decoration: underline; }

.jump { position: absolute; inset-block-end: 100%; inset-inline: 0; inline-size: fit-content; min-block-size: 44px; margin: 0 auto 10px; padding: 0 18px; border: 0; border-radius: 22px;
  background: var(--accent); color: var(--on-accent); box-shadow: 0 2px 10px rgb(0 0 0 / .3); }
.jump[hidden] { display: none; }
.meta .plain { margin-block: -12px; }
.foot { position: relative; border-block-start: 1px solid var(--line); }
.composer { display: flex; align-items: flex-end; gap: 8px; margin: 0; padding: 10px; padding-block-end: max(10px, env(safe-area-inset-bottom)); }
.contact { display: grid; gap: 8px; margin: 0; padding: 12px 14px; background: var(--soft); font-size: 14px; }
.contact[hidden] { display: none; }
.contact p { margin: 0 0 8px; }
.contact > div { display: flex; gap: 8px; }
.contact .error { margin: 0; padding: 0; }
.save { min-block-size: 44px; padding: 0 18px; border: 0; border-radius: 12px; background: var(--accent); color: var(--on-accent); }
.contact .plain { padding: 0 12px; font-size: 14px; }
textarea, input { flex: 1; min-inline-size: 0; min-block-size: 44px; max-block-size: 132px; padding: 10px 12px; border: 1px solid var(--line); border-radius: 12px; resize: none;
  background: var(--bg); color: inherit; font: inherit; font-size: 16px; line-height: 22px; overflow-wrap: anywhere; }
::placeholder { color: var(--muted); opacity: 1; }
textarea:focus-visible, input:focus-visible { outline: 2px solid var(--muted); outline-offset: 1px; }
.send { display: grid; place-items: center; flex: none; inline-size: 44px; block-size: 44px; padding: 0; border: 0; border-radius: 12px; background: var(--accent); color: var(--on-accent); }
.send[aria-disabled="true"] { opacity: .45; cursor: default; }
[dir="rtl"] .send svg { transform: scaleX(-1); }
.error { margin: 0; padding: 6px 14px 0; font-size: 13px; color: var(--danger); }
.error:empty { display: none; }

@media (max-width: 479.98px) {
  .panel { position: fixed; inset: 0; inline-size: auto; block-size: 100dvh; border-radius: 0; animation: none; }
}
@media (prefers-reduced-motion: reduce) { .panel { animation: none; } }
@media (forced-colors: active) { .panel, .bubble, .greeting, header, .send, .save, .jump { border: 1px solid CanvasText; } .dot { forced-color-adjust: none; } }
`;
