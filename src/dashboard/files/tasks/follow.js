/** One task's events as they happen, over connections that break. */
import { createParser } from "eventsource-parser";

/** Milliseconds before it tries again: the first time, and at most. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10_000;

/**
 * The output of a task, as far as it is known.
 * @typedef {object} Output
 * @property {string} text
 * @property {string} reasoning
 * @property {number} attempt 0: no GPU has it yet
 * @property {number | null} gpuId
 */

/** @type {Readonly<Output>} */
export const NO_OUTPUT = Object.freeze({ text: "", reasoning: "", attempt: 0, gpuId: null });

/**
 * @typedef {object} Watcher
 * @property {(gpuId: number, attempt: number) => void} placed a GPU has it: all output before is void where the attempt is a new one
 * @property {(delta: {text: string, reasoning?: string}) => void} token
 * @property {(task: any) => void} ended with the whole task; nothing comes after it
 * @property {(sentence: string) => void} refused the server does not tell this task's events, and will not when asked again
 * @property {(connected: boolean) => void} connected
 */

/**
 * @typedef {object} Following
 * @property {(lastEventId: string, signal: AbortSignal) => Promise<Response>} open asks for the events; rejects with an ApiError when refused
 * @property {AbortSignal} signal ends it; the task goes on
 * @property {(milliseconds: number, signal: AbortSignal) => Promise<void>} [pause]
 */

/**
 * Follows a task to its end. A connection that breaks is opened again where it broke (`Last-Event-ID`), so that no output is missed or
 * comes twice; the pauses grow while the server does not answer.
 * @param {Following} following
 * @param {Watcher} watcher
 * @returns {Promise<void>} when there is nothing more to come; it never rejects
 */
export async function follow({ open, signal, pause = sleep }, watcher) {
  const state = { lastEventId: "", over: false };
  let wait = FIRST_PAUSE;
  while (!signal.aborted && !state.over) {
    try {
      const response = await open(state.lastEventId, signal);
      if (response.status === 204) return;
      watcher.connected(true);
      if (await read(response, state, watcher)) wait = FIRST_PAUSE;
    } catch (error) {
      if (isRefusal(error)) return watcher.refused(error.message);
      // It broke off: whatever was missed comes when it is opened again.
    }
    if (signal.aborted || state.over) return;
    watcher.connected(false);
    await pause(wait, signal);
    wait = Math.min(wait * 2, LONGEST_PAUSE);
  }
}

/**
 * Reads one connection's events.
 * @param {Response} response
 * @param {{lastEventId: string, over: boolean}} state moves on with each event
 * @param {Watcher} watcher
 * @returns {Promise<boolean>} whether anything came
 * @throws when the connection breaks
 */
async function read(response, state, watcher) {
  let came = false;
  const parser = createParser({
    onEvent({ id, event, data }) {
      came = true;
      if (id !== undefined) state.lastEventId = id;
      const value = JSON.parse(data);
      if (event === "placed") watcher.placed(value.gpu_id, value.attempt);
      else if (event === "token") watcher.token(value);
      else if (event === "completed" || event === "failed" || event === "canceled") {
        state.over = true;
        watcher.ended(value);
      }
    },
  });
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  while (true) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done || value === undefined) return came;
    parser.feed(decoder.decode(value, { stream: true }));
  }
}

/**
 * Whether the same request would be refused again. A server that is away, starts, or is asked too often may answer later.
 * @param {unknown} error
 * @returns {error is Error & {status: number}}
 */
function isRefusal(error) {
  if (!(error instanceof Error) || !("status" in error) || typeof error.status !== "number") return false;
  return error.status >= 400 && error.status < 500 && error.status !== 429;
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * The output after an event, for whoever keeps all of it.
 * @param {Output} output
 * @param {{gpuId: number, attempt: number} | {text: string, reasoning?: string}} event
 * @returns {Output}
 */
export function outputAfter(output, event) {
  if ("attempt" in event) {
    return event.attempt === output.attempt ? output : { ...NO_OUTPUT, attempt: event.attempt, gpuId: event.gpuId };
  }
  return { ...output, text: output.text + event.text, reasoning: output.reasoning + (event.reasoning ?? "") };
}
