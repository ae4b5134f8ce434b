/** How far a fetch is, in the words of sentences, log lines and terminals. */
import { type FetchProgress } from "./fetch.ts";

/** Bytes as people write them, like "98.9 MB" or "4.7 GB"; a kilobyte has 1000 bytes, as hubs and disks count. */
export function sizeWords(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** Like "34 %, 12 MB/s"; without a total like "120 MB, 12 MB/s". */
export function progressWords({ bytes, total, rate }: FetchProgress): string {
  const share = total === null || total === 0 ? sizeWords(bytes) : `${Math.floor((100 * bytes) / total)} %`;
  return `${share}, ${sizeWords(rate)}/s`;
}

/** Seconds until all is here at the present rate; null: nobody can tell. */
export function secondsLeft({ bytes, total, rate }: FetchProgress): number | null {
  return total === null || rate <= 0 ? null : Math.max(0, Math.ceil((total - bytes) / rate));
}
