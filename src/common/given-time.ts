/** Times as people and programs write them. */

/** The allowed form, in words. */
export const A_TIME = 'a time with its zone, like "2025-08-10T12:34:56Z"';

/** ISO 8601 with a zone; without one it would mean something else on another machine. */
const TIME = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)$/i;

/** Unix milliseconds; undefined: it is no time with its zone. */
export function timeIn(given: string): number | undefined {
  const [, year, month, day] = TIME.exec(given) ?? [];
  const time = Date.parse(given.toUpperCase());
  // JavaScript takes 30 February for 2 March.
  const isDay = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day))).getUTCDate() === Number(day);
  return isDay && !Number.isNaN(time) ? time : undefined;
}
