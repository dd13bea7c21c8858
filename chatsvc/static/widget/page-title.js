// @ts-check
/** The number of unread messages before the page's title while nobody looks at the page. */

export class PageTitle {
  #own = "";
  #shown = "";

  /** @param {number} count 0: show the page's own title, which the page may change at any time */
  show(count) {
    const title = read();
    if (title !== this.#shown || !this.#shown) this.#own = title;
    const shown = count ? `(${count}) ${this.#own}` : this.#own;
    if (title !== shown) Reflect.set(Document.prototype, "title", shown, document);
    this.#shown = count ? read() : "";
  }
}

/** A form of the page with the name "title" hides the property of the document. */
function read() {
  return Reflect.get(Document.prototype, "title", document);
}
