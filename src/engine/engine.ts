/**
 * What generates text inside a worker. One engine serves one GPU.
 *
 * Promises every implementation keeps (test/engine-conformance.test.ts):
 *  1. `generate` may be called up to `slots` times at once; the calls are decoded together and none waits for another to end.
 *  2. The pieces emitted, concatenated, are the generated text; a piece never splits a character.
 *  3. `generate` settles exactly once. When its signal aborts it resolves with `finishReason: "canceled"`, and only after its slot is free.
 *  4. A prompt that leaves no room for one token rejects with `prompt_too_long`, naming both numbers, before anything is emitted.
 *  5. `stop` ends everything that runs and releases the memory; calling it twice is harmless.
 */
import { type FinishReason } from "../task.ts";

/** How to open a model on one device. */
export interface EngineOptions {
  readonly kind: "llama" | "simulated";
  /** Path of the GGUF file; unused by the simulated engine. */
  readonly model: string;
  /** Tokens of context for each slot; null: the smaller of what the model was trained for and 8,192. */
  readonly context: number | null;
  /** Sequences decoded at once. */
  readonly slots: number;
  /** What llama.cpp computes on: `false` is the CPU. */
  readonly backend: "cuda" | "vulkan" | "metal" | false;
  /** CPU threads to compute with. */
  readonly threads: number;
  readonly simulated: SimulatedOptions;
}

export interface SimulatedOptions {
  /** For each slot; 0: as fast as the process can. */
  readonly tokens_per_second: number;
  readonly load_seconds: number;
  /** Tokens. */
  readonly context: number;
  /** What goes wrong, and when; see simulated.ts. */
  readonly failures: readonly SimulatedFailure[];
}

/** One entry of the simulated engine's failure script. */
export interface SimulatedFailure {
  /**
   * `load_error`: loading fails; `crash`: the process dies; `hang`: the process stops answering; `error`: the task fails;
   * `out_of_memory`: the task fails for lack of memory.
   */
  readonly kind: "load_error" | "crash" | "hang" | "error" | "out_of_memory";
  /** Only on this GPU; absent: on all. */
  readonly gpu_id?: number;
  /** Only for prompts that contain this; absent: for every prompt. Not used by `load_error`. */
  readonly when_text_contains?: string;
  /** Tokens the task has generated when it happens; default 0. */
  readonly after_tokens?: number;
}

/** What an engine found out while loading. */
export interface EngineInfo {
  /** The model's name, for people. */
  readonly model: string;
  /** Tokens of context for each slot. */
  readonly context: number;
  readonly slots: number;
  /** Bytes of KV cache one token takes, from the model's shape; 0 where there is none. */
  readonly kvBytesPerToken: number;
  /** Bytes of the vocabulary's longest token: a text of n bytes has at least n / this many tokens. */
  readonly maxTokenBytes: number;
  /** What it really runs on, as the engine tells it. */
  readonly device: string;
  readonly backend: string;
}

export interface GenerateRequest {
  readonly text: string;
  /** Tokens to generate at most. */
  readonly maxLength: number;
  readonly temperature: number;
  readonly signal: AbortSignal;
  /** Called for each piece of text, with the number of tokens it took; a piece may be "" when a character is not whole yet. */
  readonly emit: (piece: string, tokens: number) => void;
}

export interface GenerateOutcome {
  readonly finishReason: FinishReason | "canceled";
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export interface Engine {
  /** Opens the model. @throws {AltLasError} `model_error` or `out_of_memory`, with a sentence that names the file */
  load(): Promise<EngineInfo>;
  /** @throws {AltLasError} `prompt_too_long`, `model_error` or `out_of_memory` */
  generate(request: GenerateRequest): Promise<GenerateOutcome>;
  stop(): Promise<void>;
}
