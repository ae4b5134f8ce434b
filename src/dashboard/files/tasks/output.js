/** A task's text as it comes: followed while the task goes on, and drawn at most once for each frame of the screen. */
import { useEffect, useRef, useState } from "preact/hooks";
import { open } from "../core/api.js";
import { follow } from "./follow.js";
import { grown } from "../parts/blocks.js";
import { hasEnded } from "./types.js";

/**
 * @typedef {object} Shown
 * @property {readonly string[]} text in blocks
 * @property {readonly string[]} reasoning
 * @property {number} attempt 0: none yet
 * @property {boolean} isConnected
 * @property {string | null} refusal
 */

/** @type {Shown} */
const NOTHING = { text: [], reasoning: [], attempt: 0, isConnected: true, refusal: null };

/**
 * @param {import("./types.js").Task | null} task
 * @param {() => void} reload called when it has got a GPU, and when it has ended
 * @returns {Shown}
 */
export function useOutput(task, reload) {
  const [shown, setShown] = useState(NOTHING);
  const latest = useRef(reload);
  latest.current = reload;
  const id = task?.task_id ?? null;
  const isOver = task === null || hasEnded(task);
  useEffect(() => {
    if (id === null || isOver) return undefined;
    const ended = new AbortController();
    const collector = new Collector(setShown, () => latest.current());
    const ask = (/** @type {string} */ lastEventId, /** @type {AbortSignal} */ signal) =>
      open("GET", `task/${id}/events`, { signal, headers: lastEventId === "" ? {} : { "last-event-id": lastEventId } });
    void follow({ open: ask, signal: ended.signal }, collector.watcher);
    return () => {
      ended.abort();
      collector.stop();
    };
  }, [id, isOver]);
  return shown;
}

/** Gathers what comes between two frames, and shows it with the next one. */
class Collector {
  #shown = NOTHING;
  #frame = 0;
  #text = "";
  #reasoning = "";
  #show;
  #onNews;

  /** @param {(shown: Shown) => void} show @param {() => void} onNews */
  constructor(show, onNews) {
    this.#show = show;
    this.#onNews = onNews;
  }

  /** @returns {import("./follow.js").Watcher} */
  get watcher() {
    return {
      placed: (_gpuId, attempt) => {
        if (attempt !== this.#shown.attempt) this.#begin(attempt);
        this.#onNews();
      },
      token: ({ text, reasoning = "" }) => {
        this.#text += text;
        this.#reasoning += reasoning;
        this.#soon();
      },
      ended: this.#onNews,
      refused: (refusal) => this.#set({ refusal }),
      connected: (isConnected) => this.#set({ isConnected }),
    };
  }

  stop() {
    cancelAnimationFrame(this.#frame);
  }

  /** All that the attempt before has said is void. @param {number} attempt */
  #begin(attempt) {
    this.#text = "";
    this.#reasoning = "";
    this.#set({ text: [], reasoning: [], attempt });
  }

  /** @param {Partial<Shown>} changes */
  #set(changes) {
    this.#shown = { ...this.#shown, ...changes };
    this.#soon();
  }

  #soon() {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    const { text, reasoning } = this.#shown;
    this.#frame = 0;
    if (this.#text !== "") this.#shown = { ...this.#shown, text: grown(text, this.#text) };
    if (this.#reasoning !== "") this.#shown = { ...this.#shown, reasoning: grown(reasoning, this.#reasoning) };
    this.#text = "";
    this.#reasoning = "";
    this.#show(this.#shown);
  }
}
