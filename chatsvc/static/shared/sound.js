// @ts-check
/** A short synthesized sound, and the setting of this browser that turns it off. */
import { recall, remember } from "./storage.js";

/** Icons for the switch. */
export const SOUND =
  "M3 9.5v5h3.6L11 18.5v-13L6.6 9.5zM13.4 8.3v7.4c1.5-.6 2.4-2 2.4-3.7s-.9-3.1-2.4-3.7zM13.4 4.5v1.9c2.7.7 4.4 2.9 4.4 5.6s-1.7 4.9-4.4 5.6v1.9c3.7-.8 6.3-3.8 6.3-7.5s-2.6-6.7-6.3-7.5z";
export const MUTED =
  "M3 9.5v5h3.6L11 18.5v-13L6.6 9.5zM20.8 9.3l-1.3-1.3-2.6 2.6L14.3 8 13 9.3l2.6 2.7L13 14.7 14.3 16l2.6-2.6 2.6 2.6 1.3-1.3-2.6-2.7z";

const NOTES_HZ = [660, 880]; // a rising fourth, unobtrusive
const NOTE_S = 0.12;
const VOLUME = 0.12;

export class Sound {
  #key;
  /** @type {AudioContext | null} */ #context = null;

  /** @param {string} key under which the browser stores that the sound is off */
  constructor(key) {
    this.#key = key;
  }

  get muted() {
    return recall(this.#key) !== null;
  }

  set muted(muted) {
    remember(this.#key, muted ? "yes" : null);
  }

  /**
   * Play the sound. It is silent if the browser allows none, as before the first click on a page.
   */
  play() {
    if (this.muted || typeof AudioContext === "undefined") return;
    const context = (this.#context ??= new AudioContext());
    NOTES_HZ.forEach((pitch, index) => {
      const [start, end] = [
        context.currentTime + index * NOTE_S,
        context.currentTime + (index + 2) * NOTE_S,
      ];
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
