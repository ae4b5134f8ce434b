/** Answers with the events of one task, to a reader who reads at this server. */
import type { FastifyReply } from "fastify";
import { AltLasError } from "../errors.ts";
import type { TaskApi, TaskSnapshot } from "../tasks/task-api.ts";
import { isFinal } from "../task.ts";
import { mayHold } from "./answers.ts";
import { probeWhenHalfClosed } from "./disconnects.ts";
import { EventStream, type Position } from "./event-stream.ts";
import { beginLiveAnswer } from "./live-answer.ts";
import type { Pinged, Pings } from "./pings.ts";
import { languageOf } from "./reader-language.ts";
import { tellRead } from "./reads.ts";
import type { ServerParts } from "./server-parts.ts";

export const EVENT_STREAM = "text/event-stream; charset=utf-8";

export interface Reader {
  readonly id: string;
  readonly position: Position;
  /** Called when the client goes before the task has ended. */
  readonly onLeft?: (() => void) | undefined;
}

/** Whatever is to be done while an answer goes out. */
export type Live = Pick<ServerParts, "tasks"> & { readonly pings: Pings; readonly reply: FastifyReply };

/** From a position on. @throws {AltLasError} `not_found`: the task has just been removed */
export async function streamEvents({ tasks, pings, reply }: Live, reader: Reader): Promise<void> {
  const { id, position, onLeft } = reader;
  let stop: (() => void) | null = null;
  const onOver = (left: boolean, ended: TaskSnapshot | null): void => {
    stop?.();
    if (ended !== null) {
      reply.request.pass?.settle();
      tellRead(tasks, reply, [ended]);
    }
    if (left) onLeft?.();
  };
  const stream = streamTo(reply, { id, position }, onOver);
  const following = tasks.follow(id, stream);
  if (following === null) return tellEnd(tasks, reply, id, stream);
  const begin = (): void => void beginLiveAnswer(reply, EVENT_STREAM, "with events");
  // Other readers begin at once: from then on they are cut off when their key ends, which a submission's reader never is.
  const isSubmission = reply.request.method === "POST" && !reply.raw.headersSent;
  if (isSubmission) reply.hijack();
  else if (!reply.raw.headersSent) begin();
  stop = signsOfLife(pings, reply, stream);
  stream.start(following, isSubmission ? begin : undefined);
}

/** Answers with what follows a position in the events of a task that has ended, and whose texts stay. */
export function streamEnded(reply: FastifyReply, task: TaskSnapshot, position: Position): void {
  const stream = streamTo(reply, { id: task.id, position }, () => {});
  beginLiveAnswer(reply, EVENT_STREAM, "with events");
  stream.ended(task);
}

function streamTo(
  reply: FastifyReply,
  { id, position }: Reader,
  onOver: ConstructorParameters<typeof EventStream>[3],
): EventStream {
  const hold = (characters: number): boolean => mayHold(reply, characters);
  return new EventStream(reply.raw, id, position, onOver, hold, languageOf(reply.request));
}

/** Keeps a connection open, and finds out whether its client is still there. @returns what ends that */
export function signsOfLife(pings: Pings, reply: FastifyReply, stream: Pinged): () => void {
  const ends = [pings.add(stream), probeWhenHalfClosed(reply, () => stream.ping())];
  return () => ends.forEach((end) => end());
}

/** Of a task that nobody can follow any more. */
async function tellEnd(tasks: TaskApi, reply: FastifyReply, id: string, stream: EventStream): Promise<void> {
  const task = await tasks.get(id);
  if (task === null) throw new AltLasError("not_found", `There is no task ${id} any more.`);
  if (reply.raw.destroyed) return;
  if (!reply.raw.headersSent) beginLiveAnswer(reply, EVENT_STREAM, "with events");
  if (isFinal(task.status)) stream.ended(task);
  else stream.closed();
}
