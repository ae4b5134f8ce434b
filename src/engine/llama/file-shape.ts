/** The facts of a model's file that tell how much memory it takes. Nothing here loads llama.cpp's library. */
import type { KvCacheType } from "../engine.ts";

/** Tokens of context for each slot when the configuration names none, and the model was trained for more. */
export const DEFAULT_CONTEXT = 8192;

/** Bytes of one number of a KV cache. A quantized block is 32 numbers with one 16-bit scale. */
export const KV_NUMBER: Readonly<Record<KvCacheType, number>> = { f16: 2, q8_0: 34 / 32, q4_0: 18 / 32 };

export interface FileShape {
  /** Of all parts. */
  readonly bytes: number;
  /** Numbers that one token takes of a KV cache at most. */
  readonly kvNumbersPerToken: number;
  /** Tokens; null where the file does not say. */
  readonly trainContext: number | null;
  /** Tokens that it knows. */
  readonly vocabulary: number;
  /** Numbers of one token's state. */
  readonly width: number;
  /** Whether it can be asked for the next token of a text; else it is made for vectors alone. */
  readonly generates: boolean;
}

/** null: it cannot be read, as its load will say. */
export interface FileShapeAnswer {
  readonly path: string;
  readonly shape: FileShape | null;
}
