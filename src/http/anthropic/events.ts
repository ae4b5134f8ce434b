/** The events of a streamed message: its blocks follow each other, and each is closed before the next begins. */
import type { Delta } from "../../output.ts";
import type { Done } from "../openai/calls.ts";
import { jsonLine } from "../json-line.ts";
import { anthropicFailure } from "../openai/envelope.ts";
import { type AnswerFacts, type AnswerWriter, EVENT_STREAM, type StreamKind } from "../openai/stream-kind.ts";
import { messageIdOf, stopReasonOf, usageOf } from "./answer.ts";
import { inItsWords } from "./words.ts";

/** @param requestId of the request that is answered */
export function messageStream(requestId: string): StreamKind {
  return {
    contentType: EVENT_STREAM,
    ping: event({ type: "ping" }),
    begin: (facts) => new MessageEvents(facts),
    failure: (error, sentence) => event(anthropicFailure(error, inItsWords(sentence), requestId)),
  };
}

function event(data: { readonly type: string }): string {
  return `event: ${data.type}\ndata: ${jsonLine(data)}\n\n`;
}

/** A block that is open. */
interface Open {
  readonly kind: Delta["kind"];
  /** Of a call: its place among the calls. */
  readonly call: number | null;
}

class MessageEvents implements AnswerWriter {
  readonly #facts: AnswerFacts;
  #open: Open | null = null;
  /** The index of the block that is open, or of the last one. */
  #index = -1;
  #hasCalls = false;

  constructor(facts: AnswerFacts) {
    this.#facts = facts;
  }

  /** How many tokens the prompt has is not known yet: `message_delta` says it. */
  first(): string {
    const { taskId, model } = this.#facts;
    const usage = { input_tokens: 0, output_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 };
    const message = {
      id: messageIdOf(taskId),
      type: "message",
      role: "assistant",
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage,
    };
    return event({ type: "message_start", message } as { type: string });
  }

  piece(_index: number, delta: Delta): string {
    if (delta.kind === "embedding") return "";
    const call = delta.kind === "tool_call" ? delta.index : null;
    const isSame = this.#open?.kind === delta.kind && this.#open.call === call;
    const opening = isSame ? "" : this.#close() + this.#begin(delta, call);
    const piece = pieceOf(delta);
    return piece === null ? opening : opening + this.#block("content_block_delta", { delta: piece });
  }

  last(_index: number, { result }: Done): string {
    // As in an answer that is not streamed, there is one block at least.
    const nothing = this.#index === -1 ? this.#begin({ kind: "text", text: "" }, null) : "";
    const delta = { stop_reason: stopReasonOf(result, this.#hasCalls), stop_sequence: null };
    const usage = usageOf(result);
    return nothing + this.#close() + event({ type: "message_delta", delta, usage } as { type: string });
  }

  end(): string {
    return event({ type: "message_stop" });
  }

  #begin(delta: Delta, call: number | null): string {
    this.#open = { kind: delta.kind, call };
    this.#index++;
    this.#hasCalls ||= call !== null;
    return this.#block("content_block_start", { content_block: blockOf(delta) });
  }

  #close(): string {
    if (this.#open === null) return "";
    this.#open = null;
    return this.#block("content_block_stop", {});
  }

  #block(type: string, fields: object): string {
    return event({ type, index: this.#index, ...fields } as { type: string });
  }
}

/** A block that has nothing in it yet. */
function blockOf(delta: Delta): object {
  if (delta.kind === "reasoning") return { type: "thinking", thinking: "", signature: "" };
  if (delta.kind === "tool_call") return { type: "tool_use", ...delta.call, input: {} };
  return { type: "text", text: "" };
}

/** null: it says nothing but that a block begins */
function pieceOf(delta: Delta): object | null {
  switch (delta.kind) {
    case "reasoning":
      return { type: "thinking_delta", thinking: delta.text };
    case "text":
      return { type: "text_delta", text: delta.text };
    case "tool_call":
      return delta.arguments === "" ? null : { type: "input_json_delta", partial_json: delta.arguments };
    case "embedding":
      return null;
  }
}
