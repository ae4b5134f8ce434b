/** Facts that follow from the states of a model. */

/** @typedef {Pick<import("../../../http/schemas/models.ts").ModelView, "instances">} Model */

/**
 * GPUs where an operator can have it loaded: those that do not have it, and are not about to.
 * @param {Model} model
 * @returns {number[]}
 */
export function loadableOn({ instances }) {
  return instances.filter(({ state }) => state === "cold" || state === "failed").map(({ gpu_id }) => gpu_id);
}

/**
 * @param {Model} model
 * @returns {number[]}
 */
export function unloadableOn({ instances }) {
  return instances.filter(({ state }) => state === "ready" || state === "loading").map(({ gpu_id }) => gpu_id);
}

/**
 * Sentences of what went wrong, each once, with the GPUs that it is true of.
 * @param {Model} model
 * @returns {{reason: string, gpus: number[]}[]}
 */
export function failuresOf({ instances }) {
  /** @type {Map<string, number[]>} */
  const found = new Map();
  for (const { state, reason, gpu_id } of instances) {
    if (state !== "failed" || reason === null) continue;
    found.set(reason, [...(found.get(reason) ?? []), gpu_id]);
  }
  return [...found].map(([reason, gpus]) => ({ reason, gpus }));
}

/**
 * How far a fetch is.
 * @param {{ bytes: number, total: number | null, rate: number }} fetched
 * @returns {{share: number | null, seconds: number | null}} share 0 to 1; seconds that are left at this rate; null: nobody knows
 */
export function progressOf({ bytes, total, rate }) {
  if (total === null || total <= 0) return { share: null, seconds: null };
  return { share: Math.min(1, bytes / total), seconds: rate > 0 ? Math.max(0, total - bytes) / rate : null };
}
