/** Real models for tests, where this machine has them: tools/real-models/fetch.ts puts them there. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of both. */
export const MODELS = fileURLToPath(new URL("../../node_modules/.cache/models/", import.meta.url));
export const INSTRUCT_FILE = "smollm2-135m-instruct-q4_1.gguf";
export const EMBEDDING_FILE = "all-minilm-l6-v2-f16.gguf";

export const NO_REAL_MODEL =
  "no real model: node tools/real-models/fetch.ts puts it into node_modules/.cache (.ci/run does)";

/**
 * SmolLM2-135M-Instruct, in 4 bits: a chat template (ChatML, with a system message of its own), 8,192 tokens of context.
 * @returns its path; null: it is not here
 */
export function instructModel(): string | null {
  return found(INSTRUCT_FILE);
}

/**
 * all-MiniLM-L6-v2: it cannot generate; 384 numbers, the mean over the tokens, and 512 tokens of context.
 * @returns its path; null: it is not here
 */
export function embeddingModel(): string | null {
  return found(EMBEDDING_FILE);
}

function found(file: string): string | null {
  const path = join(MODELS, file);
  return existsSync(path) ? path : null;
}
