/** The facts of a model's file that tell how much memory it takes. Nothing here loads llama.cpp's library. */

/** Tokens of context for each slot when the configuration names none, and the model was trained for more. */
export const DEFAULT_CONTEXT = 8192;

export interface FileShape {
  /** Of all parts. */
  readonly bytes: number;
  /** Bytes that one token takes of an f16 KV cache at most. */
  readonly kvBytesPerToken: number;
  /** Tokens; null where the file does not say. */
  readonly trainContext: number | null;
}

/** null: it cannot be read, as its load will say. */
export interface FileShapeAnswer {
  readonly path: string;
  readonly shape: FileShape | null;
}
