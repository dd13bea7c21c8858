// @ts-check
/**
 * The tabs of one person in one browser. The leader has the stream and passes its events to the
 * others, because a browser allows only six connections to a server over HTTP/1.1. When the leader
 * closes, the browser gives its lock to the next tab. Without locks or channels (pages without
 * https), every tab is a leader.
 */

/**
 * @typedef {object} TabsOptions
 * @property {() => void} onLead this tab must open the stream
 * @property {() => void} onLost another tab has become the leader
 * @property {(data: Record<string, any>) => void} onReceive
 */

export class Tabs {
  leading = false;
  #name;
  #options;
  /** @type {BroadcastChannel | null} */ #channel = null;
  #waiting = new AbortController();
  /** @type {() => void} */ #release = () => {};

  /** Listen to the other tabs. @param {string} name @param {TabsOptions} options */
  constructor(name, options) {
    this.#name = name;
    this.#options = options;
    if (typeof BroadcastChannel === "undefined" || !globalThis.navigator?.locks) return;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => data && options.onReceive(data);
  }

  /** Wait to become the leader. */
  join() {
    if (!this.#channel) return this.#lead();
    this.#waiting = new AbortController();
    const { signal } = this.#waiting;
    this.#request({ signal }, signal);
  }

  /**
   * Become the leader instead of a tab that does not respond: phones freeze background tabs, which
   * keep their locks.
   */
  takeOver() {
    this.#waiting.abort();
    this.#waiting = new AbortController();
    this.#request({ steal: true }, this.#waiting.signal);
  }

  /** Stop being the leader, or waiting for it. */
  leave() {
    this.leading = false;
    this.#waiting.abort();
    this.#release();
  }

  /** Send to the other tabs. @param {Record<string, any>} what */
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
