// @ts-check
/** The text/event-stream format (WHATWG HTML, 9.2.6), whatever the pieces in which it arrives. */

/** @typedef {{ event: string, data: string, id: string | null }} ServerEvent */

export class EventParser {
  #decoder = new TextDecoder(); // takes off a byte order mark, keeps halves of characters
  #line = "";
  #afterCr = false;
  #event = "";
  /** @type {string[]} */ #data = [];
  /** @type {string | null} */ #id = null;
  /** What the server asked clients to wait before they come back, in milliseconds. @type {number | null} */
  retry = null;

  /** @param {Uint8Array} bytes @returns {ServerEvent[]} the events that these bytes completed */
  feed(bytes) {
    /** @type {ServerEvent[]} */
    const events = [];
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return events; // not one whole character yet
    const apart = this.#afterCr && text[0] === "\n"; // CR and LF came in two pieces: one line end
    this.#afterCr = text.endsWith("\r");
    if (apart) text = text.slice(1);
    const lines = (this.#line + text).split(/\r\n|\r|\n/);
    this.#line = lines.pop() ?? "";
    for (const line of lines) {
      if (line) this.#field(line);
      else this.#dispatch(events);
    }
    return events;
  }

  /** @param {string} line */
  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.retry = Number(value);
  }

  /** @param {ServerEvent[]} events */
  #dispatch(events) {
    if (this.#data.length)
      events.push({ event: this.#event || "message", data: this.#data.join("\n"), id: this.#id });
    this.#event = "";
    this.#data = [];
  }
}
