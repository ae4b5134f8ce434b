/** Engines under test: what they are opened with, and tasks on them that are watched. */
import assert from "node:assert/strict";
import { textOf, type Delta } from "../../src/output.ts";
import { completionOf } from "../../src/request.ts";
import { type Engine, type EngineInfo, type EngineOptions, type GenerateOutcome } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/open.ts";
import { EngineFailure } from "../../src/engine/failures.ts";

export const SLOTS = 8;
export const MIB = 2 ** 20;

/** The demo model on one thread of the CPU. */
export const LLAMA: EngineOptions = {
  kind: "llama",
  model: new URL("../../models/demo.gguf", import.meta.url).pathname,
  context: null,
  minContext: 2048,
  raw: false,
  slots: SLOTS,
  memoryBudget: null,
  memoryShare: 0.9,
  measuredOverhead: null,
  backend: false,
  tuning: { threads: 1, cores: 1, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null },
  binary: "llama-server",
  upstream: null,
  patience: { firstByte: 120, token: 30 },
  simulated: { tokens_per_second: 500, load_seconds: 0, context: 4096, memory_bytes: 3 * MIB, failures: [] },
};

/** Of an engine that asks a server; `upstream` is to be set. */
export const OPENAI: EngineOptions = { ...LLAMA, kind: "openai", model: "", raw: true };

export const SIMULATED: EngineOptions = { ...LLAMA, kind: "simulated" };

export interface Watched {
  /** What was told of the prompt: once, if all is well. */
  readonly promptTokens: (number | null)[];
  text: string;
  /** Tokens emitted so far. */
  tokens: number;
  ended: boolean;
  readonly controller: AbortController;
  readonly outcome: Promise<GenerateOutcome>;
}

/** Starts one task and keeps what it emits. `onToken` may throw. */
export function watch(engine: Engine, text: string, maxTokens: number, onToken?: (watched: Watched) => void): Watched {
  const request = completionOf(text, { maxTokens, temperature: 0 });
  const controller = new AbortController();
  const promptTokens: (number | null)[] = [];
  const watched = { promptTokens, text: "", tokens: 0, ended: false, controller };
  const begin = (tokens: number | null) => {
    assert.equal(watched.tokens, 0, "the prompt is told before anything is emitted");
    promptTokens.push(tokens);
  };
  const emit = (delta: Delta, tokens: number) => {
    watched.text += textOf(delta);
    watched.tokens += tokens;
    onToken?.(whole);
  };
  const outcome = engine.generate({ request, signal: controller.signal, begin, emit });
  const whole: Watched = Object.assign(watched, { outcome });
  void outcome.then(
    () => (whole.ended = true),
    () => (whole.ended = true),
  );
  return whole;
}

/** Starts one task and resolves once it has emitted `tokens` tokens; one that ends before has failed the test. */
export async function started(engine: Engine, text: string, maxLength: number, tokens: number): Promise<Watched> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watched = watch(engine, text, maxLength, (task) => void (task.tokens >= tokens && resolve()));
  await Promise.race([promise, watched.outcome]);
  assert.ok(watched.tokens >= tokens, `"${text.slice(0, 40)}" ended after ${watched.tokens} tokens`);
  return watched;
}

export function tokensOf(tasks: readonly Watched[]): number[] {
  return tasks.map(({ tokens }) => tokens);
}

export async function abortAll(tasks: readonly Watched[]): Promise<void> {
  for (const { controller } of tasks) controller.abort();
  await Promise.all(tasks.map(({ outcome }) => outcome));
}

/** Beginnings of stories: the demo model needs a hundred tokens or more to end one. */
export function prompts(count: number): string[] {
  const heroes = ["dog", "cat", "girl", "boy", "king", "bird", "baker", "fox"];
  return heroes.slice(0, count).map((hero) => `Once upon a time there was a ${hero}`);
}

/** Loads an engine, lets `use` look at it while it is open, and tells what was found out while loading. */
export async function loaded(options: EngineOptions, use?: (engine: Engine) => Promise<void>): Promise<EngineInfo> {
  return opened(await createEngine(options, 0), use);
}

/** Like `loaded`, for an engine that is there already. */
export async function opened<E extends Engine>(engine: E, use?: (engine: E) => Promise<void>): Promise<EngineInfo> {
  try {
    const info = await engine.load();
    await use?.(engine);
    return info;
  } finally {
    await engine.stop();
  }
}

/** Bytes that were planned for everything together. */
export function planned({ memory }: EngineInfo): number {
  assert(memory !== null);
  return memory.weights + memory.kvCache + memory.overhead;
}

export async function refused(promise: Promise<unknown>): Promise<EngineFailure> {
  const error = await promise.then(
    () => assert.fail("it should have been refused"),
    (reason: unknown) => reason,
  );
  assert(error instanceof EngineFailure, String(error));
  return error;
}
