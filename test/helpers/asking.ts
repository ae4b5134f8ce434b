/** Asks an engine, and listens to all that it tells. */
import assert from "node:assert/strict";
import { contentOf, type Delta, lengthOf, Output, type TokenLogprob } from "../../src/output.ts";
import {
  type ChatRequest,
  type CompletionRequest,
  limited,
  type Message,
  type Need,
  type Sampling,
  type TextRequest,
  type ToolCall,
} from "../../src/request.ts";
import { type Engine, type EngineOptions, type GenerateOutcome } from "../../src/engine/engine.ts";

export const STORY = "Once upon a time there was a fox";

export interface RequestSubject {
  readonly name: string;
  /** What it says it can do, as far as it is tested here. */
  readonly can: readonly Need[];
  /** A special token's name in the vocabulary of its model, of several tokens as a text; null: it has no such. */
  readonly special: string | null;
  /** Whether each token is emitted by itself. */
  readonly countsEachToken: boolean;
  /** Whether a text does not depend on what is generated beside it, where it has a seed or needs none. */
  readonly repeats: boolean;
  /** Whether another seed gives another text, sooner or later. */
  readonly draws: boolean;
  /** Set: a stand-in is behind it, which says words whatever it is asked for: neither forms nor calls nor probabilities. */
  readonly saysWords?: boolean;
  /** Makes an engine of `SLOTS` slots, but for these options; it is loaded and stopped by the caller. */
  readonly create: (changes: Partial<EngineOptions>) => Engine | Promise<Engine>;
}

/** A test of what an engine need not be able to do. */
export type Where = (needs: readonly Need[], what: string, check: (engine: Engine) => Promise<void>) => void;

/** All that was told of one request. */
export interface Answer extends GenerateOutcome {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly ToolCall[];
  /** Of the text's tokens. */
  readonly logprobs: readonly TokenLogprob[];
  /** The parts of the text, as they came. */
  readonly pieces: readonly string[];
  /** Tokens that were told with them. */
  readonly tokens: number;
}

/** The order in which kinds of deltas come. */
const ORDER: readonly Delta["kind"][] = ["reasoning", "text", "tool_call"];

/** @param onDelta called with how much of the output there is by now */
export async function ask(
  engine: Engine,
  request: TextRequest,
  { signal = new AbortController().signal, onDelta = (_length: number): void => {} } = {},
): Promise<Answer> {
  const pieces: string[] = [];
  const output = new Output();
  let tokens = 0;
  let last: Delta | undefined;
  const emit = (delta: Delta, count: number): void => {
    tokens += count;
    if (delta.kind === "text") pieces.push(delta.text);
    if (lengthOf(delta) > 0) {
      assertFollows(last, delta);
      last = delta;
    }
    output.add(delta);
    onDelta(output.length);
  };
  const outcome = await engine.generate({ request, signal, emit });
  const { text, reasoning = "", toolCalls: calls = [], logprobs = [] } = contentOf(output.deltas);
  return { ...outcome, text, reasoning, calls, logprobs, pieces, tokens };
}

/**
 * Has an engine of its own: slots of a shared one hold copies of one prompt that were computed in other parts, beside other tasks, and so are
 * rounded otherwise.
 * @param request whose prompt is in the cache from then on
 */
export async function withOwn(
  { create }: RequestSubject,
  request: TextRequest,
  check: (engine: Engine) => Promise<void>,
): Promise<void> {
  const engine = await create({});
  try {
    await engine.load();
    await ask(engine, limited(request, 1));
    await check(engine);
  } finally {
    await engine.stop();
  }
}

/** Asks twice, and wants the same. */
export async function sayTwice(
  subject: RequestSubject,
  request: TextRequest,
  said: (answer: Answer) => unknown,
): Promise<void> {
  await withOwn(subject, request, async (engine) => {
    const first = said(await ask(engine, request));
    assert.deepEqual(said(await ask(engine, request)), first);
  });
}

/** @param last none of them is empty */
function assertFollows(last: Delta | undefined, delta: Delta): void {
  if (last !== undefined)
    assert(ORDER.indexOf(last.kind) <= ORDER.indexOf(delta.kind), `${delta.kind} after ${last.kind}`);
  if (delta.kind !== "tool_call") return;
  const next = last?.kind === "tool_call" ? last.index + 1 : 0;
  assert.equal(delta.index, delta.call === undefined ? next - 1 : next, "calls come one behind the other");
}

export function chatOf(content: string, sampling: Partial<Sampling> = {}): ChatRequest {
  const messages: Message[] = [{ role: "user", content }];
  return { kind: "chat", messages, sampling: { maxTokens: 30, temperature: 0, ...sampling } };
}

/** @param raw undefined: as the engine is set */
export function textOf(text: string, sampling: Partial<Sampling> = {}, raw?: boolean): CompletionRequest {
  const asked = raw === undefined ? {} : { raw };
  return { kind: "completion", text, ...asked, sampling: { maxTokens: 30, temperature: 0, ...sampling } };
}
