/** How many minutes Now shows, and which: the last ones, up to the server's now. */
import { signal } from "@preact/signals";
import { keptInBrowser } from "../core/kept.js";
import { serverNow } from "../core/store.js";

export const MINUTES = /** @type {const} */ ([1, 3, 15]);

const choice = keptInBrowser("minutes");

export const minutes = signal(MINUTES.find((value) => String(value) === choice.get()) ?? 3);

/** @param {number} value */
export function chooseMinutes(value) {
  minutes.value = MINUTES.find((one) => one === value) ?? 3;
  choice.set(String(minutes.value));
}

/** Unix milliseconds of both edges. */
export function range() {
  const to = serverNow();
  return { from: to - minutes.value * 60_000, to };
}

/** Milliseconds in which everything moves by half a pixel of the screen; more often nobody could see it. @param {number} width CSS pixels */
export function stepOf(width) {
  const pixels = Math.max(1, width * devicePixelRatio);
  return Math.max(16, (minutes.value * 60_000) / pixels / 2);
}
