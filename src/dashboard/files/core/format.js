/** Numbers, sizes, times and durations, as the language of now writes them. null is a dash: it is not known. */
import { language, t } from "./i18n.js";

export const NONE = "–";

/** @type {Map<string, Intl.NumberFormat | Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {Intl.NumberFormatOptions} options */
function numbers(options) {
  const key = `n ${language.value} ${JSON.stringify(options)}`;
  const format = formats.get(key) ?? new Intl.NumberFormat(language.value, options);
  formats.set(key, format);
  return /** @type {Intl.NumberFormat} */ (format);
}

/** @param {Intl.DateTimeFormatOptions} options */
function dates(options) {
  const key = `d ${language.value} ${JSON.stringify(options)}`;
  const format = formats.get(key) ?? new Intl.DateTimeFormat(language.value, options);
  formats.set(key, format);
  return /** @type {Intl.DateTimeFormat} */ (format);
}

/** @param {number | null | undefined} value @param {number} [digits] after the point at most */
export function number(value, digits = 0) {
  return value === null || value === undefined ? NONE : numbers({ maximumFractionDigits: digits }).format(value);
}

/** How often a second: a digit after the point only where it says something. @param {number | null | undefined} value */
export function rate(value) {
  return number(value, value !== null && value !== undefined && value < 99.95 ? 1 : 0);
}

/** @param {number | null | undefined} value 0 to 100 */
export function percent(value) {
  return value === null || value === undefined
    ? NONE
    : numbers({ style: "percent", maximumFractionDigits: 0 }).format(value / 100);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** @param {number | null | undefined} value in bytes */
export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** power;
  return `${number(scaled, scaled < 10 && power > 0 ? 1 : 0)} ${UNITS[power]}`;
}

/** A length of time, short: 45 ms, 1.2 s, 2 min 5 s, 3 h 20 min, 4 d 2 h. @param {number | null | undefined} value in seconds */
export function duration(value) {
  if (value === null || value === undefined) return NONE;
  const seconds = Math.max(0, value);
  if (seconds < 0.9995) return t("time.milliseconds", { n: Math.round(seconds * 1000) });
  if (seconds < 59.95) return t("time.seconds", { n: number(seconds, 1) });
  const whole = Math.round(seconds);
  if (whole < 3600) return two(t("time.minutes", { n: Math.floor(whole / 60) }), "time.seconds", whole % 60);
  if (whole < 86_400)
    return two(t("time.hours", { n: Math.floor(whole / 3600) }), "time.minutes", Math.floor((whole % 3600) / 60));
  return two(t("time.days", { n: Math.floor(whole / 86_400) }), "time.hours", Math.floor((whole % 86_400) / 3600));
}

/** @param {string} first @param {"time.seconds" | "time.minutes" | "time.hours"} word @param {number} rest */
function two(first, word, rest) {
  return rest === 0 ? first : `${first} ${t(word, { n: rest })}`;
}

/** A moment by the clock on the wall; with the date unless it is today's. @param {string | number | null | undefined} value */
export function moment(value) {
  if (value === null || value === undefined) return NONE;
  const date = new Date(value);
  const isToday = date.toDateString() === new Date().toDateString();
  return dates(isToday ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "medium" }).format(date);
}

/** The time of day. @param {number} value Unix milliseconds */
export function clock(value) {
  return dates({ timeStyle: "medium" }).format(value);
}

/** How long ago. @param {string | number | null | undefined} value @param {number} [now] Unix time in milliseconds */
export function ago(value, now = Date.now()) {
  if (value === null || value === undefined) return NONE;
  return t("time.ago", { time: duration(Math.max(0, Math.round((now - new Date(value).getTime()) / 1000))) });
}
