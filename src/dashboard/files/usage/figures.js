/** Figures of usage as people read them. */
import { duration, NONE, number } from "../core/format.js";

const JOULES_OF_WH = 3600;

const TENS = [1, 2, 5].flatMap((digit) => [0, 1, 2, 3, 4, 5, 6].map((power) => digit * 10 ** power));

/** Steps of an axis that are round as they are written: 5 min, not 100 s. @param {typeof import("./question.js").MEASURES[number]} measure */
export function stepsOf(measure) {
  if (measure === "energy_joules") return TENS.map((step) => (step * JOULES_OF_WH) / 100).toSorted((a, b) => a - b);
  if (measure !== "gpu_seconds") return [];
  const hours = TENS.map((step) => step * 3600).toSorted((a, b) => a - b);
  return [0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 1800, ...hours];
}

/**
 * @param {typeof import("./question.js").MEASURES[number] | "queued_seconds" | "cached_tokens" | "completed" | "failed" | "canceled"} measure
 * @param {number | null} value
 */
export function written(measure, value) {
  if (value === null) return NONE;
  if (measure === "gpu_seconds" || measure === "queued_seconds") return duration(value);
  if (measure !== "energy_joules") return number(value);
  const hours = value / JOULES_OF_WH;
  return hours < 1000 ? `${number(hours, hours < 10 ? 2 : 0)} Wh` : `${number(hours / 1000, 1)} kWh`;
}
