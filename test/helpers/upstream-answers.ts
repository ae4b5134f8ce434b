/** What the engine makes of an answer's bytes, without a connection. */
import assert from "node:assert/strict";
import { type Delta } from "../../src/output.ts";
import { completionOf } from "../../src/request.ts";
import { AnswerReader } from "../../src/engine/upstream/answer-reader.ts";
import { type GenerateOutcome } from "../../src/engine/engine.ts";
import { Answer } from "../../src/engine/openai/answer.ts";
import { readChat } from "../../src/engine/openai/chats.ts";
import { readCompletion } from "../../src/engine/openai/completions.ts";
import { type Question } from "../../src/engine/openai/dialect.ts";
import { UpstreamError } from "../../src/engine/upstream/upstream.ts";
import { EngineFailure } from "../../src/engine/failures.ts";

const PROMPT = "Once upon a time";

/** As for chats. */
const MARKS = { open: "<think>", close: "</think>" };

export interface Read {
  readonly text: string;
  readonly reasoning: string;
  readonly tokens: number;
  /** Of an answer that was complete. */
  readonly outcome: GenerateOutcome | null;
  /** Why it was not. */
  readonly failure: string;
}

/** What becomes of a body that comes in these chunks and ends there. @param take reads its events; absent: as OpenAI's protocol has them */
export function read(chunks: readonly Uint8Array[], maxTokens = 100, take: Question["read"] = readCompletion): Read {
  const got = { text: "", reasoning: "", tokens: 0 };
  const emit = (delta: Delta, tokens: number) => {
    assert((delta.kind === "text" || delta.kind === "reasoning") && delta.text.isWellFormed());
    // All reasoning comes before the text.
    if (delta.kind === "reasoning" && delta.text !== "") assert.equal(got.text, "");
    got[delta.kind] += delta.text;
    got.tokens += tokens;
  };
  const shape = { stop: [], marks: take === readChat ? MARKS : null };
  const answer = new Answer({ request: completionOf(PROMPT, { maxTokens }), emit }, { context: 4096, shape });
  const reader = new AnswerReader((data, name) => take(answer, data, name) !== false);
  try {
    for (const chunk of chunks) if (!reader.add(chunk)) throw new UpstreamError(200, "too long");
    reader.end();
  } catch (error) {
    assert(error instanceof UpstreamError || error instanceof EngineFailure, String(error));
    if (!answer.isComplete) return { ...got, outcome: null, failure: error.message };
  }
  try {
    const outcome = answer.outcome();
    return { ...got, outcome, failure: "" };
  } catch (error) {
    assert(error instanceof UpstreamError, String(error));
    return { ...got, outcome: null, failure: error.message };
  }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** In so many chunks as there are cuts, and one more. @param cuts places, those behind the end count for nothing */
export function chunksOf(whole: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...cuts.filter((cut) => cut < whole.length).toSorted((a, b) => a - b), whole.length];
  return at.slice(1).map((cut, index) => whole.subarray(at[index], cut));
}
