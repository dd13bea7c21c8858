// @ts-check
/**
 * Alerts staff who do not look at the page: a sound and a desktop notification per message, once
 * per browser.
 */
import { READ_BY_NOW_MS } from "../shared/limits.js";
import { Sound } from "../shared/sound.js";
import { isOn, keyOf } from "./settings.js";
import { text } from "./texts.js";

const HELD_MS = 10_000; // longer than other tabs of this browser take to receive the same event
const BODY_CHARACTERS = 200;

export class Alerts {
  #sound = new Sound(keyOf("sound"));
  #open;

  /** @param {(chat: string) => void} open called by a click on a notification */
  constructor(open) {
    this.#open = open;
  }

  /**
   * Alert unless another tab does: the first tab with the lock. A visible tab takes it at once and
   * stays silent.
   * @param {import("../events.js").NewUserMessageEvent} event
   */
  async received(event) {
    if (!isVisible()) await pause(READ_BY_NOW_MS);
    if (!navigator.locks) return this.#alert(event); // a page without https: every tab alerts
    void navigator.locks.request(
      `dashboard:${event.message.id}`,
      { ifAvailable: true },
      async (lock) => {
        if (!lock) return;
        this.#alert(event);
        await pause(HELD_MS);
      },
    );
  }

  /** @param {import("../events.js").NewUserMessageEvent} event */
  #alert(event) {
    const { chat_id: chat, message } = event;
    if (isVisible()) return;
    this.#sound.play();
    if (!isOn("notifications")) return;
    try {
      const body = [...message.content].slice(0, BODY_CHARACTERS).join("");
      const notification = new Notification(titleOf(event), { body, tag: chat, dir: "auto" });
      notification.onclick = () => {
        window.focus();
        notification.close();
        this.#open(chat);
      };
    } catch {
      // phones support only notifications of service workers
    }
  }
}

/**
 * The person; what a visitor typed is marked.
 * @param {import("../events.js").NewUserMessageEvent} event
 */
function titleOf({ user_email: email, user_name: name, user_sub: sub }) {
  if (sub || !(email || name)) return email || name || text("visitor");
  const quoted = name?.includes("@") ? text("quoted", { name }) : name;
  return text("not_verified", { name: email || quoted || "" });
}

function isVisible() {
  return document.visibilityState === "visible" && document.hasFocus();
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
