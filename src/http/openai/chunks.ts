/** The events of a streamed answer, in the order that clients insist on: each choice has a first, its pieces and a last one. */
import type { Delta, ToolCallDelta } from "../../output.ts";
import type { TaskResult } from "../../task.ts";
import { jsonLine } from "../json-line.ts";
import { chatFinishReasonOf, type Done, finishReasonOf, idOf, secondsOf, usageOf } from "./calls.ts";
import { openAiFailure } from "./envelope.ts";
import { chatLogprobs, completionLogprobs } from "./logprobs.ts";
import { type AnswerFacts, type AnswerWriter, EVENT_STREAM, type StreamKind } from "./stream-kind.ts";

const DONE_EVENT = "data: [DONE]\n\n";

export interface StreamOptions {
  /** Whether the client wants the usage at the end; each chunk before then says that it has none. */
  readonly withUsage: boolean;
  /** Choices of each prompt. */
  readonly perPrompt: number;
}

/** The parts of a kind of answer, and their names. */
export interface ChunkKind {
  readonly prefix: "chatcmpl" | "cmpl";
  readonly object: "chat.completion.chunk" | "text_completion";
  /** The fields of a choice's first chunk, as JSON without braces; "": it has none. @param next what comes next; null: nothing does */
  readonly first: (next: Delta | null) => string;
  /** The fields of a choice that bring a delta. */
  readonly piece: (delta: Delta) => string;
  /** The probabilities of a delta's tokens; null: they were not asked for. @param position of the delta in its choice */
  readonly logprobs: (delta: Delta, position: number) => object | null;
  readonly finishReason: (result: TaskResult) => string;
  /** The same, of a chunk that brings nothing. */
  readonly nothing: string;
}

export const CHAT_CHUNKS: ChunkKind = {
  prefix: "chatcmpl",
  object: "chat.completion.chunk",
  first: (next) => `"delta":{"role":"assistant","content":${next?.kind === "tool_call" ? "null" : '""'}}`,
  piece: (delta) => {
    if (delta.kind === "tool_call") return `"delta":{"tool_calls":[${jsonLine(callOf(delta))}]}`;
    return `"delta":{"${delta.kind === "reasoning" ? "reasoning_content" : "content"}":${jsonLine(wordsOf(delta))}}`;
  },
  logprobs: (delta) => (delta.kind === "text" ? chatLogprobs(delta.logprobs) : null),
  finishReason: chatFinishReasonOf,
  nothing: '"delta":{}',
};

/** Clients put a call together by its index. Its id, its type and its name come once. */
function callOf({ index, call, arguments: piece }: ToolCallDelta): object {
  if (call === undefined) return { index, function: { arguments: piece } };
  return { index, id: call.id, type: "function", function: { name: call.name, arguments: piece } };
}

export const COMPLETION_CHUNKS: ChunkKind = {
  prefix: "cmpl",
  object: "text_completion",
  first: () => "",
  piece: (delta) => `"text":${jsonLine(wordsOf(delta))}`,
  logprobs: (delta, position) => (delta.kind === "text" ? completionLogprobs(delta.logprobs, position) : null),
  finishReason: finishReasonOf,
  nothing: '"text":""',
};

function wordsOf(delta: Delta): string {
  return delta.kind === "text" || delta.kind === "reasoning" ? delta.text : "";
}

/** Answers as streams of chunks. */
export function chunkStream(kind: ChunkKind, options: StreamOptions): StreamKind {
  return {
    contentType: EVENT_STREAM,
    ping: ": ping\n\n",
    begin: (facts) => new Chunks(kind, facts, options),
    // It has no name, which would break clients.
    failure: (error, sentence) => `data: ${jsonLine(openAiFailure(error, sentence))}\n\n`,
  };
}

/** Writes the chunks of one answer. The parts that are the same in all of them are made once. */
class Chunks implements AnswerWriter {
  readonly #kind: ChunkKind;
  readonly #head: string;
  readonly #end: string;
  readonly #options: StreamOptions;

  constructor(kind: ChunkKind, { taskId, createdAt, model }: AnswerFacts, options: StreamOptions) {
    const head = { id: idOf(kind.prefix, taskId), object: kind.object, created: secondsOf(createdAt), model };
    this.#kind = kind;
    this.#options = options;
    this.#head = `data: ${jsonLine(head).slice(0, -1)},"choices":[`;
    this.#end = options.withUsage ? `],"usage":null}\n\n` : "]}\n\n";
  }

  first(index: number, next: Delta | null): string {
    const fields = this.#kind.first(next);
    return fields === "" ? "" : this.#chunk(index, fields);
  }

  piece(index: number, delta: Delta, position: number): string {
    const logprobs = this.#kind.logprobs(delta, position);
    return this.#chunk(index, this.#kind.piece(delta), logprobs === null ? "null" : jsonLine(logprobs));
  }

  last(index: number, { result }: Done): string {
    return this.#chunk(index, this.#kind.nothing, "null", `"${this.#kind.finishReason(result)}"`);
  }

  end(results: readonly TaskResult[]): string {
    const { withUsage, perPrompt } = this.#options;
    if (!withUsage) return DONE_EVENT;
    return `${this.#head}],"usage":${JSON.stringify(usageOf(results, perPrompt) ?? null)}}\n\n${DONE_EVENT}`;
  }

  #chunk(index: number, fields: string, logprobs = "null", reason = "null"): string {
    return `${this.#head}{"index":${index},${fields},"logprobs":${logprobs},"finish_reason":${reason}}${this.#end}`;
  }
}
