/** Answers a call that generates text: as a stream, or when all of it is there. */
import type { FastifyReply } from "fastify";
import type { Pings } from "../pings.ts";
import type { GenerationBody } from "../schemas/openai.ts";
import type { ServerParts } from "../server-parts.ts";
import { AnswerStream } from "./answer-stream.ts";
import { type Call, type Done, endOf } from "./calls.ts";
import { type ChunkKind, chunkStream } from "./chunks.ts";

/** The form of the answers to one kind of call. */
export interface Answering<Answer> {
  readonly kind: ChunkKind;
  /** @param perPrompt choices of each prompt */
  readonly whole: (tasks: readonly Done[], perPrompt: number) => Answer;
}

/** A body's wishes for its answer; taken out of it before the body is let go. */
export function wishesOf({ stream, stream_options, n }: GenerationBody) {
  return { stream, withUsage: stream_options?.include_usage === true, perPrompt: n };
}

/** @throws {AltLasError} the call has failed before its answer began */
export async function respond<Answer>(
  { parts, pings, reply }: { readonly parts: ServerParts; readonly pings: Pings; readonly reply: FastifyReply },
  call: Call,
  { stream, withUsage, perPrompt }: ReturnType<typeof wishesOf>,
  { kind, whole }: Answering<Answer>,
): Promise<Answer | FastifyReply | undefined> {
  if (stream) {
    await new AnswerStream(reply, call, chunkStream(kind, { withUsage, perPrompt })).start(parts, pings);
    return undefined;
  }
  const tasks = await endOf(parts, call, reply);
  return tasks === null ? reply : whole(tasks, perPrompt);
}
