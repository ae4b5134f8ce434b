/**
 * The data of the pages that change by themselves: GPUs, tasks, the queue. Changes of tasks come as events; figures of GPUs and why tasks wait are
 * asked for in rounds. All of it only while somebody is signed in and looks at the tab, and bounded, however many tasks the server has.
 */
import { effect, signal, untracked } from "@preact/signals";
import { ApiError, call, open } from "./api.js";
import { keepAsking, tryNow } from "./connection.js";
import { History } from "./history.js";
import { session } from "./session.js";
import { keepReading } from "./stream.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("./types.ts").Gpu} Gpu */
/** @typedef {import("./types.ts").Task} Task */
/** @typedef {import("./types.ts").TaskChange} TaskChange */

/** Milliseconds between two questions. */
const PERIOD = 1000;
/** Tasks of a list at most. */
const LATEST = 200;
/** Waiting tasks of which it is asked why they wait. */
const WAITING = 6;

/** null: not known yet. @type {import("@preact/signals").Signal<readonly Gpu[] | null>} */
export const gpus = signal(null);

/** Sentences of drivers that list no GPU. @type {import("@preact/signals").Signal<readonly string[]>} */
export const driverNotes = signal([]);

/** The tasks that have waited longest, with why, and how many wait in all. @type {import("@preact/signals").Signal<{ total: number, tasks: readonly Task[] } | null>} */
export const queue = signal(null);

/** The tasks that changed last: a page that shows a list of tasks looks at it anew. @type {import("@preact/signals").Signal<readonly TaskChange[]>} */
export const changedTasks = signal([]);

/** The bars of Now; `drawn` says that there is something new. */
export const timeline = new Timeline();

/** The figures of each GPU over the last minutes. */
export const history = new History();

/** Whether changes of tasks come as events; else the latest tasks are asked for in each round. */
let isStreaming = false;

/** How many want to know what waits. */
let watchers = 0;

/** Has `queue` kept up to date until what is returned is called. */
export function watchQueue() {
  watchers++;
  tryNow();
  return () => void watchers--;
}

/** Milliseconds that the server's wall clock is ahead of this browser's. */
let ahead = 0;

/** The server's wall clock, Unix milliseconds. */
export function serverNow() {
  return Date.now() + ahead;
}

effect(() => {
  if (!session.value) return undefined;
  const ended = new AbortController();
  // A sign-in begins it, and nothing that it reads on its way does.
  untracked(() => {
    void keepAsking(ask, PERIOD, ended.signal);
    void keepReading(
      { path: "events", query: { tasks: "true" }, names: ["hello", "missed", "task"], onEvent, onState },
      ended.signal,
    );
  });
  return () => {
    ended.abort();
    forget();
  };
});

/** The next user to sign in may not see what this one saw. */
function forget() {
  gpus.value = null;
  queue.value = null;
  changedTasks.value = [];
  timeline.forget();
  history.forget();
}

/** @param {AbortSignal} aborted */
async function ask(aborted) {
  try {
    await Promise.all([
      askForGpus(aborted),
      ...(isStreaming ? [] : [askForTasks(aborted)]),
      ...(watchers > 0 ? [askForQueue(aborted)] : []),
    ]);
  } catch (error) {
    // A refusal is an answer: the server is there, and the page that wants to know says what is wrong.
    if (!(error instanceof ApiError) || error.status === 0 || error.status >= 500) throw error;
  }
}

/** A header tells whole seconds, so small differences are none. @param {string | null} date */
function compareClocks(date) {
  const difference = date === null ? 0 : Date.parse(date) + 500 - Date.now();
  ahead = Math.abs(difference) > 2000 ? difference : 0;
}

/** @param {boolean} isOpen */
function onState(isOpen) {
  isStreaming = isOpen;
}

/**
 * @param {string} name
 * @param {any} data
 */
function onEvent(name, data) {
  if (name === "task") note(data.tasks.map(changeInEvent));
  // Changes are not kept for those who were not there.
  else if (name === "hello" || (name === "missed" && data.tasks)) void askForTasks().catch(() => {});
}

/** @param {any} told one task of an event @returns {TaskChange} */
function changeInEvent(told) {
  return changeOf(told, time(told.first_output_at));
}

/**
 * @param {any} task of an event or of a list: both name these fields alike
 * @param {number | null} firstOutputAt
 * @returns {TaskChange}
 */
function changeOf(task, firstOutputAt) {
  return {
    id: task.task_id,
    user: task.user,
    status: task.status,
    gpuId: task.gpu_id,
    model: task.model ?? null,
    batchId: task.batch_id ?? null,
    createdAt: Date.parse(task.created_at),
    startedAt: time(task.started_at),
    firstOutputAt,
    finishedAt: time(task.finished_at),
  };
}

/** @param {readonly TaskChange[]} changes */
function note(changes) {
  if (changes.length === 0) return;
  timeline.apply(changes);
  changedTasks.value = changes;
}

/** @param {AbortSignal} aborted */
async function askForGpus(aborted) {
  const response = await open("GET", "gpus", { signal: aborted });
  compareClocks(response.headers.get("date"));
  /** @type {import("./types.ts").GpusAnswer} */
  const { gpus: found, notes = [] } = await response.json();
  history.note(found, serverNow());
  gpus.value = found;
  driverNotes.value = notes;
}

/** @param {AbortSignal} [aborted] */
async function askForTasks(aborted) {
  /** @type {import("./types.ts").TasksAnswer} */
  const { tasks } = await call("GET", "tasks", { query: { limit: LATEST }, ...(aborted && { signal: aborted }) });
  note(Object.values(tasks).map(changeInList).filter(isNews));
}

/** @param {TaskChange} change */
function isNews({ id, status, startedAt, finishedAt }) {
  const known = timeline.barOf(id);
  if (known === undefined) return true;
  return known.status !== status || known.startedAt !== startedAt || known.finishedAt !== finishedAt;
}

/** @param {string | null | undefined} text */
function time(text) {
  return text === null || text === undefined ? null : Date.parse(text);
}

/** @param {Task} task @returns {TaskChange} */
function changeInList(task) {
  const startedAt = time(task.started_at);
  const { prompt } = task.timing;
  return changeOf(task, startedAt === null || prompt === null ? null : startedAt + prompt * 1000);
}

/** Those that wait longest come last in a list. @param {AbortSignal} aborted */
async function askForQueue(aborted) {
  const offset = Math.max(0, (queue.value?.total ?? 0) - WAITING);
  const query = { status: "queued", limit: WAITING, offset };
  /** @type {import("./types.ts").TasksAnswer} */
  const { tasks, total } = await call("GET", "tasks", { query, signal: aborted });
  const oldest = Object.values(tasks).toReversed();
  const told = await Promise.all(oldest.map((task) => withWhy(task, aborted)));
  queue.value = { total, tasks: told.filter(({ status }) => status === "queued") };
}

/** Only of one task it is said why it waits. @param {Task} task @param {AbortSignal} aborted @returns {Promise<Task>} */
async function withWhy(task, aborted) {
  try {
    return await call("GET", `task/${task.task_id}`, { signal: aborted });
  } catch (error) {
    // It has just been removed.
    if (error instanceof ApiError && error.status === 404) return { ...task, status: "canceled" };
    throw error;
  }
}
