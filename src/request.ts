/**
 * The request of a task to a model.
 *
 * A request is one immutable value: the HTTP schema makes it, the task carries it, the store keeps it, the worker's messages hand it on,
 * and the engine reads what it honours. Between the HTTP schema and the engine only its facts are used. So a new field of
 * `Sampling` touches this file, one HTTP schema and the engines.
 */

/** How the tokens of an answer are drawn. Requests that are stored already lack a field that is added here, so it has to be optional. */
export interface Sampling {
  /** Tokens to generate at most. */
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
}

/** A text to continue. */
export interface CompletionRequest {
  readonly kind: "completion";
  readonly text: string;
  readonly sampling: Sampling;
}

/** A tagged union by `kind`. A request may be large: while its task waits, only the store has to have it. */
export type Request = CompletionRequest;

/** The defaults, the same on every engine, so that an answer does not depend on the GPU that the task got. */
export const SAMPLING_DEFAULTS = { maxTokens: 128, temperature: 0.7, topK: 40, topP: 0.95, minP: 0.05 } as const;

/** A sampling with nothing left open. */
export type WholeSampling = { readonly [Field in keyof typeof SAMPLING_DEFAULTS]: number } & Sampling;

export function wholeSampling({ sampling }: Request): WholeSampling {
  return { ...SAMPLING_DEFAULTS, ...sampling };
}

export function completionOf(text: string, sampling: Partial<Sampling> = {}): CompletionRequest {
  const { maxTokens, temperature } = SAMPLING_DEFAULTS;
  return { kind: "completion", text, sampling: { maxTokens, temperature, ...sampling } };
}

/** The same request, for an answer of so many tokens at most. */
export function limited(request: Request, tokens: number): Request {
  const { sampling } = request;
  return tokens < sampling.maxTokens ? { ...request, sampling: { ...sampling, maxTokens: tokens } } : request;
}

/** A number for each block of a prompt's beginning; each stands for all the text up to its end. */
export type Chain = readonly number[];

/** Facts about a request on its way, also while it is on disk only. */
export interface RequestFacts {
  /** Bytes of its content, in UTF-8. */
  readonly size: number;
  /** The most tokens of prompt and answer, as estimated before it has run. */
  readonly estimatedTokens: number;
  /** Equal for prompts that begin alike; empty: the text is short, or it was never hashed. */
  readonly prefix: Chain;
}

/** A text has about one token for each four bytes; enough to compare GPUs and callers with, not to refuse a task. */
const BYTES_PER_TOKEN = 4;
/** UTF-16 units: a common beginning of two prompts is found in steps of so many. */
export const BLOCK = 512;
/** Blocks of a prompt that are hashed, about 8,000 tokens; among prompts with this much in common any will do. */
const LONGEST = 64;
const EMPTY: Chain = [];

export function factsOf({ text, sampling }: Request): RequestFacts {
  const size = Buffer.byteLength(text);
  const prefix = text.length < BLOCK ? EMPTY : chainOf(text);
  return { size, estimatedTokens: estimatedTokensOf(size, sampling), prefix };
}

/** @param size bytes of the request's content */
export function estimatedTokensOf(size: number, { maxTokens }: Sampling): number {
  return Math.ceil(size / BYTES_PER_TOKEN) + maxTokens;
}

/** UTF-16 units of its content. */
export function charactersOfRequest({ text }: Request): number {
  return text.length;
}

/** Bytes that a request takes of the heap. V8 keeps a text with two bytes a character, unless all its characters are Latin-1. */
export function heapBytesOf({ text }: Request, size: number): number {
  return size === text.length ? size : 2 * text.length;
}

/**
 * A hash over UTF-16 units, two at a time, noted at the end of each whole block. Without the shift, blocks of one letter come out alike.
 */
function chainOf(text: string): Chain {
  const chain: number[] = [];
  let hash = 0;
  for (let block = 0; block < LONGEST && (block + 1) * BLOCK <= text.length; block++) {
    for (let index = block * BLOCK; index < (block + 1) * BLOCK; index += 2) {
      hash = Math.imul(hash ^ (text.charCodeAt(index) | (text.charCodeAt(index + 1) << 16)), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    chain.push(hash);
  }
  return chain;
}
