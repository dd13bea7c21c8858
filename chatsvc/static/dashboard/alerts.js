// @ts-check
/** Calls staff who do not look: a sound and a desktop notification for a user's message, once per browser. */
import { READ_BY_NOW_MS } from "../shared/limits.js";
import { Sound } from "../shared/sound.js";
import { isOn, keyOf } from "./settings.js";
import { text } from "./texts.js";

const HELD_MS = 10_000; // longer than any other tab of this browser takes to hear the same event
const BODY_CHARACTERS = 200;

export class Alerts {
  #sound = new Sound(keyOf("sound"));
  #open;

  /** @param {(chat: string) => void} open what a click on a notification does */
  constructor(open) {
    this.#open = open;
  }

  /** The first tab that claims the message has it; one that somebody looks at claims at once, and stays silent. @param {import("../events.js").NewUserMessageEvent} event */
  async received(event) {
    if (!looked()) await pause(READ_BY_NOW_MS);
    if (!navigator.locks) return this.#call(event); // a page without https: every tab is on its own
    void navigator.locks.request(
      `dashboard:${event.message.id}`,
      { ifAvailable: true },
      async (lock) => {
        if (!lock) return;
        this.#call(event);
        await pause(HELD_MS);
      },
    );
  }

  /** @param {import("../events.js").NewUserMessageEvent} event */
  #call({ chat_id: chat, user_email: email, user_name: name, message }) {
    if (looked()) return;
    this.#sound.play();
    if (!isOn("notifications")) return;
    try {
      const body = [...message.content].slice(0, BODY_CHARACTERS).join("");
      const notification = new Notification(email || name || text("visitor"), {
        body,
        tag: chat,
        dir: "auto",
      });
      notification.onclick = () => {
        window.focus();
        notification.close();
        this.#open(chat);
      };
    } catch {
      // phones know notifications of service workers only
    }
  }
}

function looked() {
  return document.visibilityState === "visible" && document.hasFocus();
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
