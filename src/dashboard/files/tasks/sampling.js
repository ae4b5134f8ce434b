/** How the answer of a task is drawn. */

/** The fields of a task about it. */
export const SAMPLING = /** @type {const} */ ([
  "max_length",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "stop",
]);

/**
 * Those that are set, as somebody would write them.
 * @param {import("./types.js").Task} task
 */
export function samplingSet(task) {
  const set = SAMPLING.filter((name) => task[name] !== undefined && task[name] !== null);
  return set.map((name) => `${name}=${JSON.stringify(task[name])}`).join(" ");
}
