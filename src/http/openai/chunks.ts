/** The events of a streamed answer, in the order that clients insist on: each choice has a first, its pieces and a last one. */
import { type Delta, type ToolCallDelta } from "../../output.ts";
import { type TaskResult } from "../../task.ts";
import { jsonLine } from "../json-line.ts";
import { type OpenAiFailure, type Usage } from "../schemas/openai-answers.ts";
import { chatFinishReasonOf, finishReasonOf } from "./calls.ts";
import { chatLogprobs, completionLogprobs } from "./logprobs.ts";

export const DONE_EVENT = "data: [DONE]\n\n";

export interface ChunkFacts {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
}

/** What a kind of answer calls its parts. */
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

/** Writes the chunks of one answer. What is the same in all of them is made once. */
export class Chunks {
  readonly #kind: ChunkKind;
  readonly #head: string;
  readonly #end: string;
  readonly #withUsage: boolean;

  /** @param withUsage whether the client wants the usage at the end; each chunk before then says that it has none */
  constructor(kind: ChunkKind, facts: ChunkFacts, withUsage: boolean) {
    const { id, created, model } = facts;
    this.#kind = kind;
    this.#withUsage = withUsage;
    this.#head = `data: ${jsonLine({ id, object: kind.object, created, model }).slice(0, -1)},"choices":[`;
    this.#end = withUsage ? `],"usage":null}\n\n` : "]}\n\n";
  }

  /** @param next what comes next; null: nothing does */
  first(index: number, next: Delta | null): string {
    const fields = this.#kind.first(next);
    return fields === "" ? "" : this.#chunk(index, fields);
  }

  /** @param position of the delta in the output of its choice */
  piece(index: number, delta: Delta, position: number): string {
    const logprobs = this.#kind.logprobs(delta, position);
    return this.#chunk(index, this.#kind.piece(delta), logprobs === null ? "null" : jsonLine(logprobs));
  }

  last(index: number, result: TaskResult): string {
    return this.#chunk(index, this.#kind.nothing, "null", `"${this.#kind.finishReason(result)}"`);
  }

  /** What follows the last choice. @param usage undefined: it is not known */
  end(usage: Usage | undefined): string {
    if (!this.#withUsage) return DONE_EVENT;
    return `${this.#head}],"usage":${JSON.stringify(usage ?? null)}}\n\n${DONE_EVENT}`;
  }

  #chunk(index: number, fields: string, logprobs = "null", reason = "null"): string {
    return `${this.#head}{"index":${index},${fields},"logprobs":${logprobs},"finish_reason":${reason}}${this.#end}`;
  }
}

/** The last event of an answer that has failed after it had begun. It has no name, which would break clients. */
export function errorEvent(failure: OpenAiFailure): string {
  return `data: ${jsonLine(failure)}\n\n`;
}
