/** Times as people read them in a terminal: local and short. */
import { said } from "../../words/terminal.ts";
import { wallTime } from "../../common/clock.ts";

/** Local time of day, and the day where it is another one. @param at ISO 8601 @param now Unix milliseconds */
export function clockOf(at: string, now = wallTime()): string {
  const date = new Date(at);
  const [day, time = ""] = localTime(date).split(" ");
  return day === localTime(new Date(now)).split(" ")[0] ? time : `${day!.slice(5)} ${time.slice(0, 5)}`;
}

/** Like "2025-08-10 14:35:00". */
function localTime(date: Date): string {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace("T", " ");
}

/** How long ago something was, like "90 s"; minutes and hours are rounded. */
export function ageOf(at: string, now = wallTime()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(at)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

const HOUR = 3_600_000;

/** When something was: "12 s ago" within an hour, then "14:03", of another day "08-10 14:03". */
export function whenOf(at: string, now = wallTime()): string {
  if (now - Date.parse(at) < HOUR) return said(`${ageOf(at, now)} ago`);
  const [first = "", ...rest] = clockOf(at, now).split(" ");
  return rest.length === 0 ? first.slice(0, 5) : [first, ...rest].join(" ");
}

/** Seconds that something took, with as many digits as tell something: "42 ms", "1.3 s", "48 s", "12 min 5 s", "3 h 2 min". */
export function tookWords(seconds: number): string {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes} min ${whole % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Seconds between two times; null: one of them is not known. */
export function between(from: string | null, to: string | null): number | null {
  return from === null || to === null ? null : Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
}
