/** The history of a server: from the one that runs on a data directory, else from the store of the configuration. */
import type { Readable } from "node:stream";
import { loadConfig } from "../config/config.ts";
import { askServer } from "../control/client.ts";
import { shown } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";
import { checkThere, storeOf } from "../store/server-store.ts";
import type { PastTask, TaskStore } from "../store/tasks.ts";

/** As the control socket has it. */
export const HISTORY_ROUTE = "POST /history";

/** Tasks that are read at once. */
const AT_ONCE = 500;

export interface HistoryContext {
  readonly config: string | undefined;
  readonly dataDir: string;
}

/**
 * All tasks in the order of their submission, some at a time.
 * @throws {AltLasError} `bad_config`: there is no database; `conflict`: another server has it
 */
export async function* historyOf({ config, dataDir }: HistoryContext): AsyncGenerator<readonly PastTask[]> {
  const first = await asked(dataDir, 0);
  if (first !== undefined) {
    for (let tasks: readonly PastTask[] = first; tasks.length > 0; tasks = await stillAsked(dataDir, tasks))
      yield tasks;
    return;
  }
  const { store: place } = loadConfig(config);
  await checkThere(place, dataDir);
  const silent = { info: () => {}, warn: () => {}, error: () => {} };
  const store = await storeOf(place, dataDir, silent);
  try {
    await store.open();
    for (let tasks = await store.tasks.history(0, AT_ONCE); tasks.length > 0;) {
      yield tasks;
      tasks = await store.tasks.history(tasks.at(-1)!.seq, AT_ONCE);
    }
  } finally {
    await store.close();
  }
}

async function asked(dataDir: string, after: number): Promise<readonly PastTask[] | undefined> {
  const answer = (await askServer(dataDir, HISTORY_ROUTE, { after })) as { readonly tasks: PastTask[] } | undefined;
  return answer?.tasks;
}

async function stillAsked(dataDir: string, before: readonly PastTask[]): Promise<readonly PastTask[]> {
  const tasks = await asked(dataDir, before.at(-1)!.seq);
  if (tasks === undefined)
    throw new AltLasError("store_unavailable", "The server ended before all was read. Do it again.");
  return tasks;
}

/** A part of the history, for the control socket. */
export async function historyRoute(tasks: Pick<TaskStore, "history">, body: unknown): Promise<object | Readable> {
  const { after } = Object(body) as { readonly after?: unknown };
  if (typeof after !== "number" || !Number.isSafeInteger(after))
    throw new AltLasError("invalid_input", `after must be the number of a task; got ${shown(after)}.`);
  return { tasks: await tasks.history(after, AT_ONCE) };
}
