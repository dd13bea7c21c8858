// @ts-check
/** The list of chats: an event is the signal, the server renders what is shown. */
import { Backoff } from "../widget/backoff.js";
import { arrange } from "../widget/dom.js";
import { fetchDocument } from "./fragments.js";
import { Live } from "./live.js";
import { Status } from "./status.js";
import { keepTimesRight, localise } from "./times.js";

const BUNDLE_MS = 300; // many events in a short time are answered by one fetch

const main = /** @type {HTMLElement} */ (document.querySelector("main[data-fragment]"));
const status = new Status();
const backoff = new Backoff();
let wanted = false;
let running = false;
let live = false;

/** Fetches the list until what is on screen is not older than the last event. */
async function refresh() {
  wanted = true;
  if (running) return;
  running = true;
  while (wanted) {
    wanted = false;
    try {
      show(await fetchDocument(main.dataset["fragment"] ?? ""));
      backoff.reset();
      await new Promise((resolve) => setTimeout(resolve, BUNDLE_MS));
    } catch {
      wanted = true;
      status.lost();
      await backoff.wait(backoff.next());
    }
  }
  running = false;
  if (live) status.live();
}

/** @param {Document} fetched */
function show(fetched) {
  const fresh = document.importNode(/** @type {HTMLElement} */ (fetched.getElementById("chats")), true);
  const shown = /** @type {HTMLElement} */ (document.getElementById("chats"));
  replace(shown, fresh, ".tabs");
  replace(shown, fresh, ".pages");
  const focused = document.activeElement?.closest(".card")?.id;
  const cards = [...fresh.querySelectorAll(".card")].map((card) => {
    const old = document.getElementById(card.id); // a card that did not change stays
    return old?.dataset["version"] === /** @type {HTMLElement} */ (card).dataset["version"] ? /** @type {Element} */ (old) : card;
  });
  arrange(/** @type {Element} */ (shown.querySelector(".cards")), cards);
  /** @type {HTMLElement} */ (shown.querySelector(".empty")).hidden = cards.length > 0;
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.querySelector("a")?.focus();
  status.unread(fresh.dataset["unread"]);
  localise(shown);
}

/** @param {HTMLElement} shown @param {HTMLElement} fresh @param {string} selector */
function replace(shown, fresh, selector) {
  const [old, now] = [shown.querySelector(selector), fresh.querySelector(selector)];
  if (old && now && !old.isEqualNode(now)) old.replaceWith(now);
}

keepTimesRight();
new Live({
  url: () => "/admin/notifications/stream",
  onEvent: () => void refresh(),
  onStatus: (now) => {
    live = now;
    if (now) backoff.wake();
    else status.lost();
  },
});
