// @ts-check
/** A short sound, made on the spot, and the switch that silences it in this browser. */
import { recall, remember } from "./storage.js";

const NOTES_HZ = [660, 880]; // a rising fourth: it asks for no more than a glance
const NOTE_S = 0.12;
const VOLUME = 0.12;

export class Sound {
  #key;
  /** @type {AudioContext | null} */ #context = null;

  /** @param {string} key under which the browser remembers that it is muted */
  constructor(key) {
    this.#key = key;
  }

  get muted() {
    return recall(this.#key) !== null;
  }

  set muted(muted) {
    remember(this.#key, muted ? "yes" : null);
  }

  /** Silent where the browser allows no sound, as before the first click on a page. */
  play() {
    if (this.muted || typeof AudioContext === "undefined") return;
    const context = (this.#context ??= new AudioContext());
    NOTES_HZ.forEach((pitch, index) => {
      const [start, end] = [context.currentTime + index * NOTE_S, context.currentTime + (index + 2) * NOTE_S];
      const tone = context.createOscillator();
      const volume = context.createGain();
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(VOLUME, start);
      volume.gain.exponentialRampToValueAtTime(0.001, end);
      tone.connect(volume).connect(context.destination);
      tone.start(start);
      tone.stop(end);
    });
  }
}
