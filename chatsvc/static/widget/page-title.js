// @ts-check
/** The number of unread messages before the page's title while nobody looks at the page. */

export class PageTitle {
  #own = "";
  #shown = "";

  /** @param {number} count 0: the title as the page wants it, which may change it meanwhile */
  show(count) {
    if (document.title !== this.#shown || !this.#shown) this.#own = document.title;
    const shown = count ? `(${count}) ${this.#own}` : this.#own;
    if (document.title !== shown) document.title = shown;
    this.#shown = count ? document.title : "";
  }
}
