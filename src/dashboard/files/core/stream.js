/**
 * The server's events, by the browser's own EventSource. That can send no credentials, so each connection is opened by a ticket of its own,
 * where the one before broke. The browser would open it again by itself, with the old ticket, which a server that was started again
 * refuses, and notes in its log.
 */
import { apiUrl, post } from "./api.js";

/** Milliseconds before it tries again with a new ticket: the first time, and at most. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
/** Milliseconds of being hidden after which the tab gives its connection back: a browser has six for one server. */
const HIDDEN = 30_000;

/**
 * @typedef {object} Stream
 * @property {string} path below `api/v1/`
 * @property {Readonly<Record<string, string>>} query
 * @property {readonly string[]} names the events that are wanted
 * @property {(name: string, data: unknown) => void} onEvent
 * @property {(isOpen: boolean) => void} onState
 */

/**
 * Reads until `ended` aborts. It never rejects.
 * @param {Stream} stream
 * @param {AbortSignal} ended
 */
export async function keepReading(stream, ended) {
  /** The id of the last event, to go on behind it. */
  let last = "";
  for (let failures = 0; !ended.aborted; failures++) {
    try {
      const { ticket } = await post("stream_ticket", { path: `/api/v1/${stream.path}` });
      if (!ended.aborted) {
        const { wasOpen, lastId } = await read(stream, { ticket, ...(last !== "" && { last_event_id: last }) }, ended);
        if (wasOpen) failures = 0;
        if (lastId !== "") last = lastId;
      }
    } catch {
      // No ticket: the server is not there, or lets nobody in any more; who asks it for the rest says so.
    }
    stream.onState(false);
    if (!ended.aborted) await rest(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** failures), ended);
  }
}

/**
 * @param {Stream} stream
 * @param {{ ticket: string, last_event_id?: string }} place
 * @param {AbortSignal} ended
 * @returns {Promise<{ wasOpen: boolean, lastId: string }>} when the connection has ended
 */
function read({ path, query, names, onEvent, onState }, place, ended) {
  return new Promise((resolve) => {
    const source = new EventSource(apiUrl(path, { ...query, ...place }));
    let [wasOpen, lastId] = [false, ""];
    const close = () => {
      source.close();
      stopWatching();
      ended.removeEventListener("abort", close);
      resolve({ wasOpen, lastId });
    };
    const stopWatching = whenHidden(close);
    ended.addEventListener("abort", close);
    source.addEventListener("open", () => {
      wasOpen = true;
      onState(true);
    });
    source.addEventListener("error", close);
    for (const name of names)
      source.addEventListener(name, ({ data, lastEventId }) => {
        lastId = lastEventId;
        onEvent(name, JSON.parse(data));
      });
  });
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
