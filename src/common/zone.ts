/** Calendar days in the zones of the IANA database, as this machine's Node.js knows them. */

/** Milliseconds. */
export const HOUR = 3_600_000;
/** Hours; no zone was ever further from UTC. */
const FURTHEST = 16;

/** A zone. Hours are those of Unix time: in zones with half hours, one that begins on a day belongs to it as a whole. */
export class Zone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #days = new Map<number, string>();

  private constructor(format: Intl.DateTimeFormat) {
    this.name = format.resolvedOptions().timeZone;
    this.#format = format;
  }

  /** @returns null: there is no such zone */
  static named(name: string): Zone | null {
    const date = { year: "numeric", month: "2-digit", day: "2-digit" } as const;
    try {
      return new Zone(new Intl.DateTimeFormat("en", { timeZone: name, calendar: "gregory", ...date }));
    } catch (error) {
      if (error instanceof RangeError) return null;
      throw error;
    }
  }

  /** The day on which an hour begins, like "2026-11-29". */
  dayOf(hour: number): string {
    let day = this.#days.get(hour);
    if (day === undefined) this.#days.set(hour, (day = this.#read(hour)));
    return day;
  }

  /** The first hour that begins on a day, or after it where the zone has left it out. @param day like "2026-11-29" */
  firstHourOf(day: string): number {
    let hour = Date.parse(`${day}T00:00:00Z`) / HOUR - FURTHEST;
    while (this.dayOf(hour) < day) hour++;
    return hour;
  }

  #read(hour: number): string {
    const parts = this.#format.formatToParts(hour * HOUR);
    const part = (type: string): string => parts.find((one) => one.type === type)!.value;
    return `${part("year").padStart(4, "0")}-${part("month")}-${part("day")}`;
  }
}

/** The day so many days later. @param day like "2026-11-29" */
export function dayAfter(day: string, days = 1): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 24 * HOUR).toISOString().slice(0, 10);
}

/** Whether a text is a day of the calendar since 1970, like "2026-11-29". */
export function isDay(text: string): boolean {
  const time = /^(19[7-9]\d|2\d{3})-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}
