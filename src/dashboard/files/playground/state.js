/** The state of the playground, which stays while its user looks at other pages: the form, the conversation, and the answer that is coming. */
import { effect, signal } from "@preact/signals";
import { open, post, sentenceOf } from "../core/api.js";
import { session } from "../core/session.js";
import { grown } from "../parts/blocks.js";
import { follow } from "../tasks/follow.js";
import { paceAfter, sentAt } from "./pace.js";
import { bodyOf, EMPTY_FORM } from "./request.js";

/**
 * One question with its answer.
 * @typedef {object} Run
 * @property {"messages" | "text"} kind
 * @property {string} prompt
 * @property {string | null} taskId null: the server has not answered yet
 * @property {number | null} gpuId null: it waits
 * @property {readonly string[]} text in blocks
 * @property {readonly string[]} reasoning
 * @property {import("./pace.js").Pace} pace
 * @property {boolean} isConnected
 * @property {import("../tasks/types.js").Task | null} ended
 * @property {string | null} failure
 */

/** Milliseconds between two drawings of an answer: tokens come faster than anybody reads. */
const FRAME = 30;

export const form = signal(EMPTY_FORM);

/** The messages before the run of now. @type {import("@preact/signals").Signal<readonly import("./request.js").Message[]>} */
export const conversation = signal([]);

/** The run that is being answered, or was last. @type {import("@preact/signals").Signal<Run | null>} */
export const run = signal(null);

/** The body that was sent last; null: the form has changed since. @type {import("@preact/signals").Signal<Record<string, unknown> | null>} */
export const sent = signal(null);

/** Ends the following of the run of now; its task goes on. */
let leaving = new AbortController();

/** @param {Partial<import("./request.js").Form>} changes */
export function change(changes) {
  form.value = { ...form.value, ...changes };
  sent.value = null;
}

export function forget() {
  leaving.abort();
  conversation.value = [];
  run.value = null;
  sent.value = null;
}

// The next user to sign in may not read what this one wrote.
effect(() => {
  if (session.value) return;
  forget();
  form.value = EMPTY_FORM;
});

/** Whether an answer is coming. */
export function isRunning() {
  const { value } = run;
  return value !== null && value.ended === null && value.failure === null;
}

/** The body of what stands in the form. */
export function body() {
  return bodyOf(form.value, form.value.kind === "text" ? [] : said());
}

/** The conversation, with the last answer. An answer that was stopped counts as far as it came; one that failed doesn't. */
function said() {
  const { value } = run;
  const text = value?.ended?.result?.text ?? "";
  if (value === null || value.kind === "text" || text === "" || value.failure !== null) return conversation.value;
  const user = /** @type {const} */ ({ role: "user", content: value.prompt });
  return [...conversation.value, user, /** @type {const} */ ({ role: "assistant", content: text })];
}

export async function send() {
  if (isRunning() || form.value.prompt === "") return;
  const asked = body();
  const { prompt, kind } = form.value;
  const before = kind === "text" ? [] : said();
  leaving = new AbortController();
  const answer = answerTo(prompt, kind, leaving.signal);
  conversation.value = before;
  sent.value = asked;
  try {
    const { task_id } = /** @type {{ task_id: string }} */ (await post("predict", asked));
    answer.set({ taskId: task_id });
    // A text is often changed and sent again; a message is not.
    if (kind === "messages" && !leaving.signal.aborted) form.value = { ...form.value, prompt: "" };
    await follow({ open: eventsOf(task_id), signal: leaving.signal }, answer.watcher);
  } catch (error) {
    answer.set({ failure: sentenceOf(error) });
  }
}

/** @throws {import("../core/api.js").ApiError} */
export async function stop() {
  const id = run.value?.taskId;
  if (id) await post(`task/${id}/cancel`);
}

/** @param {string} id */
function eventsOf(id) {
  return (/** @type {string} */ lastEventId, /** @type {AbortSignal} */ left) =>
    open("GET", `task/${id}/events`, {
      signal: left,
      headers: lastEventId === "" ? {} : { "last-event-id": lastEventId },
    });
}

/**
 * Begins a run, and shows it as it goes on.
 * @param {string} prompt
 * @param {Run["kind"]} kind
 * @param {AbortSignal} left
 */
function answerTo(prompt, kind, left) {
  let attempt = 0;
  /** @type {ReturnType<typeof setTimeout> | null} */
  let timer = null;
  /** @type {Run} */
  let live = {
    prompt,
    kind,
    taskId: null,
    gpuId: null,
    text: [],
    reasoning: [],
    pace: sentAt(performance.now()),
    isConnected: true,
    ended: null,
    failure: null,
  };
  run.value = live;
  const draw = () => {
    timer = null;
    if (!left.aborted) run.value = live;
  };
  const set = (/** @type {Partial<Run>} */ changes) => {
    live = { ...live, ...changes };
    timer ??= setTimeout(draw, FRAME);
  };
  return {
    set,
    watcher: watcherOf(
      () => live,
      set,
      (/** @type {number} */ now) => attempt !== (attempt = now),
    ),
  };
}

/**
 * @param {() => Run} now
 * @param {(changes: Partial<Run>) => void} set
 * @param {(attempt: number) => boolean} isAnother whether the output so far was another attempt's
 * @returns {import("../tasks/follow.js").Watcher}
 */
function watcherOf(now, set, isAnother) {
  return {
    placed: (gpuId, attempt) => set(isAnother(attempt) ? { gpuId, text: [], reasoning: [] } : { gpuId }),
    token: ({ text, reasoning }) => {
      const { text: before, reasoning: thought, pace } = now();
      const grownReasoning = reasoning === undefined ? thought : grown(thought, reasoning);
      set({ text: grown(before, text), reasoning: grownReasoning, pace: paceAfter(pace, performance.now()) });
    },
    ended: (task) => set({ ended: task, gpuId: task.gpu_id, failure: task.error ?? null }),
    refused: (failure) => set({ failure }),
    connected: (isConnected) => set({ isConnected }),
  };
}
