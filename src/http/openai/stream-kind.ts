/** The form in which an API writes its streamed answers. */
import type { AltLasError } from "../../errors.ts";
import type { Delta } from "../../output.ts";
import type { TaskResult } from "../../task.ts";
import type { Done } from "./calls.ts";

export const EVENT_STREAM = "text/event-stream; charset=utf-8";

export interface StreamKind {
  readonly contentType: string;
  /** Says nothing, so that nobody on the way takes the connection for dead. */
  readonly ping: string;
  /** Called once for an answer, as late as possible. */
  readonly begin: (facts: AnswerFacts) => AnswerWriter;
  /** The last that is written of an answer which has failed after it had begun. @param sentence as its reader may know it */
  readonly failure: (error: AltLasError, sentence: string) => string;
}

export interface AnswerFacts {
  /** Of the first choice. */
  readonly taskId: string;
  /** Unix time in milliseconds. */
  readonly createdAt: number;
  /** The model that runs it. */
  readonly model: string;
}

/** Writes one answer: each choice has a first, its pieces and a last one. */
export interface AnswerWriter {
  /** @param next what comes next; null: nothing does */
  first(index: number, next: Delta | null): string;
  /** @param position of the delta in the output of its choice */
  piece(index: number, delta: Delta, position: number): string;
  last(index: number, task: Done): string;
  /** The text behind the last choice. @param results of all choices */
  end(results: readonly TaskResult[]): string;
}
