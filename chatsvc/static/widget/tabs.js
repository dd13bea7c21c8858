// @ts-check
/**
 * The tabs of one person in one browser: one of them leads and holds the stream, the others hear from it. A browser
 * allows six connections to a server over HTTP/1.1, and people have more tabs. When the leader closes, the browser
 * gives its lock to the next. Where there are no locks or channels (pages without https), every tab leads itself.
 */

/**
 * @typedef {object} TabsOptions
 * @property {() => void} onLead this tab has to hold the stream from now on
 * @property {() => void} onLost another tab has taken the lead
 * @property {(data: Record<string, any>) => void} onReceive
 */

export class Tabs {
  leading = false;
  #name;
  #options;
  /** @type {BroadcastChannel | null} */ #channel = null;
  #turn = new AbortController();
  /** @type {() => void} */ #release = () => {};

  /** Hears the others from now on; leads when it was joined. @param {string} name @param {TabsOptions} options */
  constructor(name, options) {
    this.#name = name;
    this.#options = options;
    if (typeof BroadcastChannel === "undefined" || !globalThis.navigator?.locks) return;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => options.onReceive(data);
  }

  /** Queues up for the lead. */
  join() {
    if (!this.#channel) return this.#lead();
    this.#turn = new AbortController();
    const { signal } = this.#turn;
    this.#request({ signal }, signal);
  }

  /** Takes the lead from a tab that does not answer: phones stop what nobody looks at, locks and all. */
  takeOver() {
    this.#turn.abort();
    this.#turn = new AbortController();
    this.#request({ steal: true }, this.#turn.signal);
  }

  /** Leaves the lead, or the queue for it, to others. */
  leave() {
    this.leading = false;
    this.#turn.abort();
    this.#release();
  }

  /** To the other tabs. @param {Record<string, any>} what */
  broadcast(what) {
    this.#channel?.postMessage(what);
  }

  close() {
    this.leave();
    this.#channel?.close();
    this.#channel = null;
  }

  /** @param {LockOptions} options @param {AbortSignal} signal */
  #request(options, signal) {
    navigator.locks
      .request(
        this.#name,
        options,
        () =>
          new Promise((resolve) => {
            this.#release = () => resolve(undefined);
            if (signal.aborted) this.#release();
            else this.#lead();
          }),
      )
      .catch(() => {
        if (signal.aborted) return;
        if (!this.leading) return this.#lead(); // no locks here, as in a sandboxed frame
        this.leading = false;
        this.#options.onLost();
      });
  }

  #lead() {
    this.leading = true;
    this.#options.onLead();
  }
}
