/** Which usage is looked at, as it stands in the page's address; and its days. */

/** The fields by which usage can be told apart. */
export const BY = /** @type {const} */ (["user", "model", "key", "gpu"]);
/** The figures of it that can be drawn. */
export const MEASURES = /** @type {const} */ ([
  "gpu_seconds",
  "completion_tokens",
  "prompt_tokens",
  "tasks",
  "energy_joules",
]);

const USUAL_DAYS = 30;
const DAY = 86_400_000;
/** Days of a chart at most: those of more would have no width. */
const MOST_DAYS = 400;

/**
 * @typedef {object} Question
 * @property {string} from a day like 2026-11-01; the server says what is wrong with one that is none
 * @property {string} to the last day
 * @property {typeof BY[number]} by
 * @property {typeof MEASURES[number]} measure
 */

/**
 * @param {URLSearchParams} query
 * @param {string} today where the browser is
 * @param {Question["by"]} usual by what, where nothing is said
 * @returns {Question}
 */
export function questionOf(query, today, usual) {
  const to = query.get("to") || today;
  return {
    from: query.get("from") || dayBefore(to, USUAL_DAYS - 1),
    to,
    by: BY.find((one) => one === query.get("by")) ?? usual,
    measure: MEASURES.find((one) => one === query.get("measure")) ?? "gpu_seconds",
  };
}

/**
 * Today by the clock of the browser.
 * @param {Date} now
 */
export function dayOf(now) {
  return [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/**
 * @param {string} day
 * @param {number} count
 */
export function dayBefore(day, count) {
  const time = Date.parse(`${day}T00:00:00Z`);
  return Number.isNaN(time) ? day : new Date(time - count * DAY).toISOString().slice(0, 10);
}

/**
 * All days from the first to the last one, those too without usage.
 * @param {string} from
 * @param {string} to
 */
export function daysBetween(from, to) {
  const days = [];
  for (let day = to; day >= from && days.length < MOST_DAYS; day = dayBefore(day, 1)) days.push(day);
  return days.toReversed();
}
