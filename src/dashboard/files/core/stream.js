/** A stream of server-sent events, over connections that break: it is opened again where it broke, with pauses that grow. */
import { createParser } from "eventsource-parser";
import { ApiError, open } from "./api.js";

/** Milliseconds before it tries again: the first time, and at most. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
/** Milliseconds of being hidden after which the tab gives its connection back: a browser has six for one server. */
const HIDDEN = 30_000;

/**
 * @typedef {object} Reader
 * @property {(name: string, data: unknown) => void} onEvent
 * @property {(isOpen: boolean) => void} onState
 */

/**
 * Reads until `ended` aborts. It never rejects.
 * @param {string} path of the API
 * @param {Reader} reader
 * @param {AbortSignal} ended
 */
export async function keepReading(path, reader, ended) {
  let lastId = "";
  for (let failures = 0; !ended.aborted;) {
    const away = new AbortController();
    const stopWatching = whenHidden(() => away.abort());
    const signal = AbortSignal.any([ended, away.signal]);
    try {
      const headers = { accept: "text/event-stream", ...(lastId !== "" && { "last-event-id": lastId }) };
      const response = await open("GET", path, { headers, signal });
      reader.onState(true);
      failures = 0;
      await read(response, signal, ({ id, event = "message", data }) => {
        lastId = id ?? lastId;
        reader.onEvent(event, JSON.parse(data));
      });
    } catch (error) {
      // An id that this server does not know would be refused again and again.
      if (error instanceof ApiError && error.status === 400) lastId = "";
    }
    stopWatching();
    reader.onState(false);
    if (!ended.aborted) await rest(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures++), ended);
  }
}

/** @param {Response} response @param {AbortSignal} signal @param {(message: import("eventsource-parser").EventSourceMessage) => void} onEvent */
async function read(response, signal, onEvent) {
  const parser = createParser({ onEvent });
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  for (;;) {
    const piece = await reader?.read();
    if (!piece || piece.done || signal.aborted) return;
    parser.feed(decoder.decode(piece.value, { stream: true }));
  }
}

/** @param {() => void} leave called when nobody has looked for a while @returns what ends that */
function whenHidden(leave) {
  let timer = 0;
  const look = () => {
    window.clearTimeout(timer);
    if (document.hidden) timer = window.setTimeout(leave, HIDDEN);
  };
  look();
  document.addEventListener("visibilitychange", look);
  return () => {
    window.clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

/** Until the time is over and somebody looks, or it is ended. @param {number} milliseconds @param {AbortSignal} ended */
function rest(milliseconds, ended) {
  return new Promise((/** @type {(value: void) => void} */ resolve) => {
    let isOver = false;
    const look = () => {
      if (!ended.aborted && (!isOver || document.hidden)) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    ended.addEventListener("abort", look, { once: true });
    window.setTimeout(() => {
      isOver = true;
      look();
    }, milliseconds);
  });
}
