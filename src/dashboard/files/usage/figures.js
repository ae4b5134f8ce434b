/** Figures of usage as people read them. */
import { duration, NONE, number } from "../core/format.js";

const JOULES_OF_WH = 3600;

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
