/** Long lists of tasks, which go out part by part, only as fast as they are read. */
import { Readable } from "node:stream";
import { type FastifyReply } from "fastify";
import { type TaskApi, type TaskPage } from "../tasks/task-api.ts";
import { type TaskFilter } from "../store/tasks.ts";
import { cursorOf } from "./filter.ts";
import { TaskRef } from "./schemas/tasks.ts";
import { viewOfTask } from "./views.ts";

/** Characters that are read from the store at once; a task that is longer is read whole. */
export const PART = 256 * 1024;
/** One object, because the serializer of each is kept. */
const TASK = { ...TaskRef };
/** Characters that are collected before they are sent. */
const PIECE = 16 * 1024;

/**
 * The same JSON as a list that is sent whole. Which tasks it has is settled as it goes on: each comes once, the newest first, as it is when
 * its part is read. An error in the middle breaks the answer off.
 */
export function streamedList(tasks: TaskApi, filter: TaskFilter, first: TaskPage, reply: FastifyReply): Readable {
  const serialize = reply.compileSerializationSchema(TASK);
  async function* pieces(): AsyncGenerator<string> {
    let piece = '{"tasks":{';
    let sent = 0;
    let last: number | undefined;
    for await (const { tasks: found } of parts(tasks, filter, first)) {
      for (const task of found) {
        piece += `${sent === 0 ? "" : ","}${JSON.stringify(task.id)}:${serialize(viewOfTask(task))}`;
        sent++;
        last = task.seq;
        if (piece.length < PIECE) continue;
        yield piece;
        piece = "";
      }
    }
    const next = last === undefined || sent < filter.limit ? null : cursorOf(last);
    yield `${piece}},"total":${first.total},"next":${JSON.stringify(next)}}`;
  }
  // One piece ahead at most.
  return Readable.from(pieces(), { highWaterMark: 1 });
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
