/**
 * The layer below node-llama-cpp's sequences, in no public interface of 3.21. The library's own way through a step takes an event loop's
 * turn, locks and generators for each token, and goes back to JavaScript between decoding and drawing; what is here takes a call each.
 * test/llama-decoder.test.ts fails when it changes.
 */
import type { Llama, LlamaContext, LlamaModel, Token } from "node-llama-cpp";

/** How a token is drawn of a row of logits. */
export interface SamplerConfig {
  /** 0: the likeliest. */
  readonly temperature: number;
  readonly minP: number;
  /** 0: all of them. */
  readonly topK: number;
  readonly topP: number;
  /** Draws begin anew when it changes. */
  readonly seed: number;
  readonly repeatPenalty?: number;
  /** Of the tokens below, how many at most count, the last ones. */
  readonly repeatPenaltyMaxTokens?: number;
  /** The tokens drawn so far. A list that has grown by the token drawn last is gone on with; any other is begun anew. */
  readonly repeatPenaltyTokens?: Uint32Array;
  readonly repeatPenaltyPresencePenalty?: number;
  readonly repeatPenaltyFrequencyPenalty?: number;
  readonly tokenBiasKeys?: Uint32Array;
  readonly tokenBiasValues?: Float32Array;
  /** A grammar's native state. */
  readonly grammarEvaluationState?: unknown;
}

export interface NativeSampler {
  applyConfig(config: SamplerConfig): void;
  dispose(): void;
}

/** The token (-1: none), the probabilities as token and number in turn, likeliest first, and the probability of the token. */
export type Sampled = readonly [
  token: Token,
  probabilities: readonly number[] | undefined,
  confidence: number | undefined,
];

export interface NativeContext {
  /** Begins a batch of so many tokens. */
  initBatch(tokens: number): void;
  /** @param results the indices of those of `tokens` that have a result @returns their rows */
  addToBatch(sequence: number, at: number, tokens: Uint32Array, results: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(row: number, sampler: NativeSampler, probabilities: boolean, confidence: boolean): Promise<Sampled>;
  setThreads(threads: number): void;
  /** @returns whether the state could be cut */
  removeTokenCellsFromSequence(sequence: number, start: number, end: number): boolean;
  disposeSequence(sequence: number): void;
  /** -1: it holds nothing. */
  getSequenceKvCacheMinPosition(sequence: number): number;
}

/** A share of the threads of all contexts; given back by `dispose`. */
export interface ThreadShare {
  getAllocationToConsume(): Allocation | Promise<Allocation>;
  dispose(): void;
}

type Allocation = readonly [threads: number, held: { dispose(): void }];

interface LlamaInside {
  readonly _bindings: { readonly AddonSampler: new (model: unknown) => NativeSampler };
  readonly _threadsSplitter: { createConsumer(wanted: number, least: number): ThreadShare };
}

export function contextInside(context: LlamaContext): NativeContext {
  const { _ctx: native } = context as unknown as { readonly _ctx: NativeContext };
  return native;
}

export function newSampler(model: LlamaModel): NativeSampler {
  const { _llama: llama, _model: native } = model as unknown as {
    readonly _llama: LlamaInside;
    readonly _model: unknown;
  };
  const { _bindings: bindings } = llama;
  return new bindings.AddonSampler(native);
}

export function newThreadShare(llama: Llama, wanted: number): ThreadShare {
  const { _threadsSplitter: splitter } = llama as unknown as LlamaInside;
  return splitter.createConsumer(wanted, 1);
}
