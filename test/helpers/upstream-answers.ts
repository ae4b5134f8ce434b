/** What the engine makes of an answer's bytes, without a connection. */
import assert from "node:assert/strict";
import { type Content, contentOf, type Delta, Output } from "../../src/output.ts";
import { type ChatRequest, completionOf, type TextRequest } from "../../src/request.ts";
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

export interface Read extends Content {
  readonly reasoning: string;
  readonly tokens: number;
  /** What was left out, in words. */
  readonly doubts: readonly string[];
  /** Of an answer that was complete. */
  readonly outcome: GenerateOutcome | null;
  /** Why it was not. */
  readonly failure: string;
}

/** What was asked for beside a text. */
export type AskedFor = Partial<Pick<ChatRequest, "tools" | "logprobs">> & { readonly stop?: readonly string[] };

/** The place of a kind in every output. */
const ORDER = ["reasoning", "text", "tool_call"];

/**
 * What becomes of a body that comes in these chunks and ends there.
 * @param take reads its events; absent: as OpenAI's protocol has them for completions
 */
export function read(
  chunks: readonly Uint8Array[],
  maxTokens = 100,
  take: Question["read"] = readCompletion,
  { stop = [], ...asked }: AskedFor = {},
): Read {
  const output = new Output();
  const doubts: string[] = [];
  let [tokens, place] = [0, 0];
  const emit = (delta: Delta, count: number) => {
    tokens += count;
    assertWhole(delta);
    if (delta.kind === "text" && delta.text === "") return;
    const own = ORDER.indexOf(delta.kind);
    assert(own >= place, `${delta.kind} comes behind ${ORDER[place]}`);
    place = own;
    output.add(delta);
  };
  const got = () => ({ reasoning: "", ...contentOf(output.deltas), tokens, doubts });
  const { sampling } = completionOf(PROMPT, { maxTokens });
  const messages = [{ role: "user", content: PROMPT }] as const;
  const request: TextRequest = { kind: "chat", messages, sampling, ...asked };
  const shape = { stop, marks: take === readChat ? MARKS : null };
  const options = { context: 4096, shape, doubt: (what: string) => void doubts.push(what) };
  const answer = new Answer({ request, emit }, options);
  const reader = new AnswerReader((data, name) => take(answer, data, name) !== false);
  try {
    for (const chunk of chunks) if (!reader.add(chunk)) throw new UpstreamError(200, "too long");
    reader.end();
  } catch (error) {
    assert(error instanceof UpstreamError || error instanceof EngineFailure, String(error));
    if (!answer.isComplete) return { ...got(), outcome: null, failure: error.message };
  }
  try {
    const outcome = answer.outcome();
    return { ...got(), outcome, failure: "" };
  } catch (error) {
    assert(error instanceof UpstreamError || error instanceof EngineFailure, String(error));
    return { ...got(), outcome: null, failure: error.message };
  }
}

/** No character is split, and tokens are those of their text. */
function assertWhole(delta: Delta): void {
  assert(delta.kind !== "embedding");
  const text = delta.kind === "tool_call" ? delta.arguments : delta.text;
  assert(text.isWellFormed(), JSON.stringify(text));
  if (delta.kind !== "text" || delta.logprobs === undefined || delta.logprobs.length === 0) return;
  const lengths = delta.logprobs.reduce((all, { length }) => all + length, 0);
  assert.equal(lengths, text.length, JSON.stringify(delta));
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** In so many chunks as there are cuts, and one more. @param cuts places, those behind the end count for nothing */
export function chunksOf(whole: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...cuts.filter((cut) => cut < whole.length).toSorted((a, b) => a - b), whole.length];
  return at.slice(1).map((cut, index) => whole.subarray(at[index], cut));
}
