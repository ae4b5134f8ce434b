/** A task's time as a bar: how long each phase took. */

/**
 * @typedef {object} Phase
 * @property {"queued" | "prompt" | "generation"} name
 * @property {number} seconds
 * @property {number} share of the whole, 0 to 1
 */

/** @typedef {Pick<import("../core/types.ts").Task, "created_at" | "started_at" | "finished_at" | "timing" | "result" | "usage">} Timed */

/**
 * Phases that took no time are left out. Of a task that goes on, the last phase reaches to now.
 * @param {Timed} task
 * @param {number} now the server's wall clock, Unix milliseconds
 * @returns {Phase[]}
 */
export function phasesOf({ created_at, started_at, finished_at, timing, result }, now) {
  const created = Date.parse(created_at);
  const started = started_at === null ? null : Date.parse(started_at);
  // Clocks differ: nothing may become negative.
  const end = finished_at === null ? Math.max(now, started ?? created) : Date.parse(finished_at);
  const ran = started === null ? 0 : (end - started) / 1000;
  const queued = started === null ? (end - created) / 1000 : timing.queued;
  // Of those that an earlier version ran nothing else is known.
  const isUntold = timing.prompt === null && result !== undefined;
  const prompt = isUntold ? 0 : (timing.prompt ?? ran);
  const generation = finished_at === null || isUntold ? ran - prompt : (timing.generation ?? 0);
  /** @type {[Phase["name"], number][]} */
  const found = [
    ["queued", queued],
    ["prompt", prompt],
    ["generation", generation],
  ];
  const took = found.filter(([, seconds]) => seconds > 0);
  const all = took.reduce((sum, [, seconds]) => sum + seconds, 0);
  return took.map(([name, seconds]) => ({ name, seconds, share: seconds / all }));
}

/**
 * Tokens a second while the text was generated; null: too little is known.
 * @param {Pick<Timed, "timing" | "result" | "usage">} task
 */
export function speedOf({ timing, result, usage }) {
  const tokens = (result?.usage ?? usage)?.completion_tokens ?? 0;
  const seconds = timing.generation ?? result?.execution_time ?? 0;
  // The first token ends the prompt's phase: between n tokens are n - 1 steps.
  const steps = timing.generation === null ? tokens : tokens - 1;
  return steps > 0 && seconds > 0 ? steps / seconds : null;
}
