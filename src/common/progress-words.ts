/** How far something is that takes long, in the words of sentences, log lines and terminals. */

export interface Progress {
  readonly bytes: number;
  /** null: not known. */
  readonly total: number | null;
  /** Bytes a second. */
  readonly rate: number;
}

/** Bytes as people write them, like "98.9 MB" or "4.7 GB"; a kilobyte has 1000 bytes, as hubs and disks count. */
export function sizeWords(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  // A figure that would be rounded to 1000 of a unit is 1 of the next.
  const least = units.findIndex((_unit, at) => bytes / 1000 ** at < 999.5);
  const power = least === -1 ? units.length - 1 : least;
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** Like "34 %, 12 MB/s"; without a total like "120 MB, 12 MB/s". */
export function progressWords({ bytes, total, rate }: Progress): string {
  const share = total === null || total === 0 ? sizeWords(bytes) : `${Math.floor((100 * bytes) / total)} %`;
  return `${share}, ${sizeWords(rate)}/s`;
}

/** The same behind a sentence, like " (34 %, 12 MB/s)"; "" before anything is known. */
export function progressBehind(progress: Progress | null): string {
  const isKnown = progress !== null && (progress.bytes > 0 || progress.total !== null);
  return isKnown ? ` (${progressWords(progress)})` : "";
}

/** Seconds until all is here at the present rate; null: nobody can tell. */
export function secondsLeft({ bytes, total, rate }: Progress): number | null {
  return total === null || rate <= 0 ? null : Math.max(0, Math.ceil((total - bytes) / rate));
}

/** Seconds as people say them, like "45 s", "3 min" or "2 h 5 min". */
export function durationWords(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
