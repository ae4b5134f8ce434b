/** The figures that `alt-las top` shows, as the server tells them at one moment. */
import { AltLasError } from "../../errors.ts";
import type { CallersAnswer } from "../../http/schemas/callers.ts";
import type { GpusAnswer, GpuView } from "../../http/schemas/gpus.ts";
import type { TasksAnswer } from "../../http/schemas/tasks.ts";
import { ask, type Remote } from "./client.ts";
import type { Listed } from "./tasks.ts";

/** Some of the tasks with one status. */
export interface Some {
  /** Those that started or were submitted first come first. */
  readonly tasks: readonly Listed[];
  readonly total: number;
}

export interface Sight {
  readonly gpus: readonly GpuView[];
  /** null: the server does not tell. */
  readonly callers: CallersAnswer["callers"] | null;
  readonly running: Some;
  readonly queued: Some;
}

/** Tasks that are asked for; a terminal has no room for more. */
const RUNNING = 50;
const QUEUED = 20;
/** Tasks of which it is asked why they wait: each is a request of its own. */
const ASKED_WHY = 6;

/** Asks for all of it. @param signal ends it @throws {AltLasError} as `ask` */
export async function look(server: Remote, signal?: AbortSignal): Promise<Sight> {
  const remote = { ...server, ...(signal && { signal }) };
  const [gpus, callers, running, queued] = await Promise.all([
    ask(remote, "gpus", "gpus") as Promise<GpusAnswer>,
    callersOf(remote),
    some(remote, "running", RUNNING),
    oldestQueued(remote),
  ]);
  return { gpus: gpus.gpus, callers, running, queued };
}

/** An older server has no such route, and a caller may not be allowed to see it. */
async function callersOf(remote: Remote): Promise<Sight["callers"]> {
  try {
    const { callers } = (await ask(remote, "callers", "callers")) as CallersAnswer;
    return callers;
  } catch (error) {
    if (error instanceof AltLasError && (error.code === "not_found" || error.code === "forbidden")) return null;
    throw error;
  }
}

async function some(remote: Remote, status: string, limit: number, offset = 0): Promise<Some> {
  const query = new URLSearchParams({ status, limit: String(limit), offset: String(offset) });
  const { tasks, total } = (await ask(remote, `tasks?${query}`, "tasks")) as TasksAnswer;
  return { tasks: Object.values(tasks).toReversed(), total };
}

/** Lists are newest first, and what is served next stands at their end. */
async function oldestQueued(remote: Remote): Promise<Some> {
  const newest = await some(remote, "queued", QUEUED);
  const oldest = newest.total > QUEUED ? await some(remote, "queued", QUEUED, newest.total - QUEUED) : newest;
  const tasks = await Promise.all(oldest.tasks.map((task, at) => (at < ASKED_WHY ? withReason(remote, task) : task)));
  return { tasks: tasks.filter(({ status }) => status === "queued"), total: oldest.total };
}

/** It may have been removed meanwhile. */
async function withReason(remote: Remote, task: Listed): Promise<Listed> {
  return ask(remote, `task/${task.task_id}`, "task_id").catch(() => task) as Promise<Listed>;
}
