/** The events of a streamed answer, in the order that clients insist on: each choice has a first, its pieces and a last one. */
import { type Delta } from "../../output.ts";
import { jsonLine } from "../json-line.ts";
import { type OpenAiFailure, type Usage } from "../schemas/openai-answers.ts";

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
  /** The first chunk of a choice; "": it has none. */
  readonly first: string;
  /** The fields of a choice that bring a delta, as JSON without braces. */
  readonly piece: (delta: Delta) => string;
  /** The same, of a chunk that brings nothing. */
  readonly nothing: string;
}

export const CHAT_CHUNKS: ChunkKind = {
  prefix: "chatcmpl",
  object: "chat.completion.chunk",
  first: '"delta":{"role":"assistant","content":""}',
  piece: (delta) =>
    `"delta":{"${delta.kind === "reasoning" ? "reasoning_content" : "content"}":${jsonLine(wordsOf(delta))}}`,
  nothing: '"delta":{}',
};

export const COMPLETION_CHUNKS: ChunkKind = {
  prefix: "cmpl",
  object: "text_completion",
  first: "",
  piece: (delta) => `"text":${jsonLine(wordsOf(delta))}`,
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

  first(index: number): string {
    return this.#kind.first === "" ? "" : this.#chunk(index, this.#kind.first, "null");
  }

  piece(index: number, delta: Delta): string {
    return this.#chunk(index, this.#kind.piece(delta), "null");
  }

  last(index: number, reason: "stop" | "length"): string {
    return this.#chunk(index, this.#kind.nothing, `"${reason}"`);
  }

  /** What follows the last choice. @param usage undefined: it is not known */
  end(usage: Usage | undefined): string {
    if (!this.#withUsage) return DONE_EVENT;
    return `${this.#head}],"usage":${JSON.stringify(usage ?? null)}}\n\n${DONE_EVENT}`;
  }

  #chunk(index: number, fields: string, reason: string): string {
    return `${this.#head}{"index":${index},${fields},"logprobs":null,"finish_reason":${reason}}${this.#end}`;
  }
}

/** The last event of an answer that has failed after it had begun. It has no name, which would break clients. */
export function errorEvent(failure: OpenAiFailure): string {
  return `data: ${jsonLine(failure)}\n\n`;
}
