// @ts-check
/** Shows one message. */
import { h } from "../shared/dom.js";
import { linked } from "../shared/links.js";

/** @typedef {import("../support-chat.js").SupportMessage} SupportMessage */
/** @typedef {import("./message-store.js").Outgoing} Outgoing */
/**
 * @typedef {object} Shown
 * @property {string} key the same while pending and when sent
 * @property {boolean} own
 * @property {string} content
 * @property {Date} at
 * @property {Outgoing | null} outgoing null once it is stored
 */

/** @param {SupportMessage} message @returns {Shown} */
export function stored(message) {
  const own = message.sender_type === "user";
  const key = own && message.client_id ? `own:${message.client_id}` : `seq:${message.seq}`;
  return { key, own, content: message.content, at: new Date(message.created_at), outgoing: null };
}

/** @param {Outgoing} outgoing @returns {Shown} */
export function unsent(outgoing) {
  return {
    key: `own:${outgoing.client_id}`,
    own: true,
    content: outgoing.content,
    at: new Date(outgoing.created_at),
    outgoing,
  };
}

export class MessageView {
  node = h("li");
  #look = "";

  /**
   * @param {Shown} shown
   * @param {{ first: boolean, last: boolean, mark: string }} group `mark`: text beside the time,
   * such as "Seen"
   * @param {import("./texts.js").Text} text
   * @param {(at: Date) => string} time
   */
  update(shown, group, text, time) {
    const status = shown.outgoing?.status ?? "sent";
    const look = [
      status,
      shown.outgoing?.reason,
      shown.at.getTime(),
      group.first,
      group.last,
      group.mark,
    ].join();
    if (look === this.#look) return;
    this.#look = look;
    const failed = status === "waiting" || status === "refused";
    const marks = {
      own: shown.own,
      first: group.first,
      last: group.last,
      unsent: shown.outgoing,
      failed,
    };
    this.node.className = [
      "message",
      ...Object.entries(marks)
        .filter(([, on]) => on)
        .map(([name]) => name),
    ].join(" ");
    this.node.replaceChildren(
      h("span", { class: "hidden" }, `${shown.own ? text("you") : text("staff")}: `),
      h("div", { class: "bubble", dir: "auto" }, ...linked(shown.content)),
      h("div", { class: "meta" }, ...meta(shown, group.mark, text, time)),
    );
  }
}

/**
 * @param {Shown} shown
 * @param {string} mark
 * @param {import("./texts.js").Text} text
 * @param {(at: Date) => string} time
 */
function meta(shown, mark, text, time) {
  const { outgoing } = shown;
  const at = h("time", { datetime: shown.at.toISOString() }, time(shown.at));
  if (!outgoing) return mark ? [at, "·", h("span", { class: "mark" }, mark)] : [at];
  if (outgoing.status === "pending") return [text("sending")];
  const problem =
    outgoing.status === "waiting"
      ? text("waiting")
      : [text("refused"), outgoing.reason].filter(Boolean).join(": ");
  const button = (/** @type {string} */ action, /** @type {string} */ label) =>
    h(
      "button",
      { type: "button", class: `plain ${action}`, [`data-${action}`]: outgoing.client_id },
      label,
    );
  return [
    h("span", {}, problem),
    button("retry", text("retry")),
    ...(outgoing.status === "refused" ? [button("discard", text("discard"))] : []),
  ];
}
