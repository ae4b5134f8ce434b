/**
 * Whether the page is live. Code that asks the server in rounds does it with `keepAsking`: it rests after a failure, longer after each
 * further one, says so, and rests while nobody looks at the tab.
 */
import { signal } from "@preact/signals";

/**
 * @typedef {object} Connection
 * @property {"connecting" | "live" | "lost"} state
 * @property {number | null} liveAt when the server answered last, Unix milliseconds
 * @property {number} nextTryAt Unix milliseconds; 0: none is planned
 */

/** @type {import("@preact/signals").Signal<Connection>} */
export const connection = signal({ state: "connecting", liveAt: null, nextTryAt: 0 });

/** Milliseconds before the first try after a failure; twice as long before each further one. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 15_000;

/** Ends the rest of now; null: nobody rests. @type {(() => void) | null} */
let wake = null;

export function tryNow() {
  wake?.();
}

addEventListener("online", tryNow);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) tryNow();
});

/**
 * Asks again and again, until `signal` aborts.
 * @param {(signal: AbortSignal) => Promise<void>} ask resolves when it went well, rejects when the server could not be reached
 * @param {number} period milliseconds from one answer to the next question
 * @param {AbortSignal} ended
 */
export async function keepAsking(ask, period, ended) {
  ended.addEventListener("abort", tryNow);
  for (let failures = 0; !ended.aborted;) {
    try {
      await ask(ended);
      failures = 0;
      if (!ended.aborted) connection.value = { state: "live", liveAt: Date.now(), nextTryAt: 0 };
      await rest(period);
    } catch {
      if (ended.aborted) return;
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures++) * (0.8 + 0.4 * Math.random());
      connection.value = { ...connection.value, state: "lost", nextTryAt: Date.now() + pause };
      await rest(pause);
    }
    if (document.hidden && !ended.aborted) await rest(Infinity);
  }
}

/** @param {number} milliseconds Infinity: until somebody calls `tryNow` */
function rest(milliseconds) {
  return new Promise((/** @type {(value: void) => void} */ resolve) => {
    const timer = milliseconds === Infinity ? 0 : setTimeout(() => wake?.(), milliseconds);
    wake = () => {
      clearTimeout(timer);
      wake = null;
      resolve();
    };
  });
}
