/** How many tokens llama.cpp decodes at once. Nothing here loads its library. */
import type { EngineOptions } from "../engine.ts";

/**
 * Tokens decoded in one step at most. A task that comes or goes waits for a step: with more the wait grows, and hardly anything is gained.
 */
const BATCH = { cpu: 128, gpu: 512 };

/** Tokens of one step at most: at least one for each slot, and where nothing is said two, so that newcomers always move. */
export function batchSizeFor({ backend, tuning }: Pick<EngineOptions, "backend" | "tuning">, slots: number): number {
  if (tuning.batchSize !== null) return Math.max(tuning.batchSize, slots);
  return Math.max(backend === false ? BATCH.cpu : BATCH.gpu, 2 * slots);
}
