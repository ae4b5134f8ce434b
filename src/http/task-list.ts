/** Lists of tasks, which are written in pieces. Long ones go out part by part, only as fast as they are read. */
import { Readable } from "node:stream";
import { nextTurn } from "../common/turns.ts";
import type { TaskApi, TaskPage } from "../tasks/task-api.ts";
import type { TaskFilter } from "../store/tasks.ts";
import type { Language } from "../words/language.ts";
import { cursorOf } from "./filter.ts";
import { viewIn } from "./reader-language.ts";
import { viewOfTask } from "./views.ts";

/** Characters that are read from the store at once; a task that is longer is read whole. */
export const PART = 256 * 1024;
/** Characters that are written before others are served: about 64 tasks of the shortest. */
const PIECE = 64 * 1024;

interface ListToWrite {
  readonly first: TaskPage;
  /** Of its reader. */
  readonly language: Language;
}

/** A list of which all is there. */
export async function wholeList(tasks: TaskApi, filter: TaskFilter, list: ListToWrite): Promise<string> {
  let text = "";
  for await (const piece of pieces(tasks, filter, list)) text += piece;
  return text;
}

/**
 * The same JSON as a list that is sent whole. Which tasks it has is settled as it goes on: each comes once, the newest first, as it is when
 * its part is read. An error in the middle breaks the answer off.
 */
export function streamedList(tasks: TaskApi, filter: TaskFilter, list: ListToWrite): Readable {
  // One piece ahead at most.
  return Readable.from(pieces(tasks, filter, list), { highWaterMark: 1 });
}

/** Between two of them the event loop turns. UUIDs have dashes, so none of them looks like an array index, and an object keeps their order. */
async function* pieces(tasks: TaskApi, filter: TaskFilter, { first, language }: ListToWrite): AsyncGenerator<string> {
  let piece = '{"tasks":{';
  let sent = 0;
  let last: number | undefined;
  for await (const { tasks: found } of parts(tasks, filter, first)) {
    for (const task of found) {
      piece += `${sent === 0 ? "" : ","}${JSON.stringify(task.id)}:${JSON.stringify(viewIn(language, viewOfTask(task)))}`;
      sent++;
      last = task.seq;
      if (piece.length < PIECE) continue;
      yield piece;
      piece = "";
      await nextTurn();
    }
  }
  const next = last === undefined || sent < filter.limit ? null : cursorOf(last);
  yield `${piece}},"total":${first.total},"next":${JSON.stringify(next)}}`;
}

async function* parts(tasks: TaskApi, filter: TaskFilter, first: TaskPage): AsyncGenerator<TaskPage> {
  let part = first;
  let left = filter.limit;
  while (true) {
    yield part;
    left -= part.tasks.length;
    const after = part.tasks.at(-1)?.seq;
    if (part.more !== true || left <= 0 || after === undefined) return;
    part = await tasks.list({ ...filter, after, offset: 0, limit: left }, { maxCharacters: PART, counted: false });
  }
}
