// @ts-check
/** Parses text/event-stream (WHATWG HTML, 9.2.6) from chunks of any size. */

/** @typedef {{ event: string, data: string, id: string | null }} ServerEvent */

export class EventParser {
  #decoder = new TextDecoder(); // removes a byte order mark, keeps incomplete characters
  #line = "";
  #afterCr = false;
  #event = "";
  /** @type {string[]} */ #data = [];
  /** @type {string | null} */ #id = null;
  /** Milliseconds to wait before the next connection. @type {number | null} */
  retry = null;

  /** @param {Uint8Array} bytes @returns {ServerEvent[]} the events that these bytes completed */
  feed(bytes) {
    /** @type {ServerEvent[]} */
    const events = [];
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return events; // no complete character yet
    // CR and LF of one line end arrived in two chunks
    const apart = this.#afterCr && text[0] === "\n";
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
