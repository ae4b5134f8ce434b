/** What a task asks a model, and what is known of that where the request itself is not at hand. */

/** What a model is asked. It may be large: of a waiting task only the store has to have it. */
export interface TaskRequest {
  readonly text: string;
}

/** A number for each block of a prompt's beginning, which stands for all its text up to there. */
export type Chain = readonly number[];

/** What placing a task needs to know of its request. */
export interface RequestFacts {
  /** Of its text, in UTF-8. */
  readonly bytes: number;
  /** Says which prompts begin alike; empty: the text is short, or nobody has looked. */
  readonly prefix: Chain;
}

/** UTF-16 units: what two prompts have in common is found in steps of so many. */
export const BLOCK = 512;
/** Blocks of a prompt that are looked at, about 8,000 tokens: of those that have this much in common any is good. */
const LONGEST = 64;
const EMPTY: Chain = [];

export function factsOf({ text }: TaskRequest): RequestFacts {
  return { bytes: Buffer.byteLength(text), prefix: text.length < BLOCK ? EMPTY : chainOf(text) };
}

/** Bytes that a request takes of the heap. V8 keeps a text with two bytes a character, unless all its characters are Latin-1. */
export function heapBytesOf({ text }: TaskRequest, bytes: number): number {
  return bytes === text.length ? bytes : 2 * text.length;
}

/** A hash over UTF-16 units, two at a time, noted at the end of each whole block. Without the shift, blocks of one letter come out alike. */
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
