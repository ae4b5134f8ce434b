/** The lines of a fetch in the log: its begin, every tenth of it or every 30 s, and its end. */
import { type Logger } from "../log/log.ts";
import { type FetchedModel, type FetchProgress } from "./fetch.ts";
import { progressWords, sizeWords } from "./fetch-words.ts";

/** Milliseconds after which a line comes, however little has. */
const SILENCE = 30_000;

export class FetchLog {
  readonly #log: Logger;
  readonly #source: string;
  /** The first figures; null: there were none yet. */
  #first: { readonly bytes: number; readonly at: number } | null = null;
  #saidAt = 0;
  #tenths = 0;

  constructor(log: Logger, source: string) {
    this.#log = log;
    this.#source = source;
  }

  progress(progress: FetchProgress): void {
    const { bytes, total } = progress;
    const tenths = total === null || total === 0 ? 0 : Math.floor((10 * bytes) / total);
    const now = performance.now();
    if (this.#first === null) {
      this.#first = { bytes, at: now };
      this.#log.info({ source: this.#source, bytes, total }, `fetching${total === null ? "" : ` ${sizeWords(total)}`}`);
    } else if (tenths <= this.#tenths && now - this.#saidAt < SILENCE) return;
    else this.#log.info({ bytes, total }, `fetched ${progressWords(progress)}`);
    this.#saidAt = now;
    this.#tenths = tenths;
  }

  /** All is here. */
  done({ bytes, path }: FetchedModel): void {
    const { at, bytes: before } = this.#first ?? { at: performance.now(), bytes };
    const seconds = (performance.now() - at) / 1000;
    const how = seconds < 1 ? "" : `, the last ${sizeWords(bytes - before)} in ${seconds.toFixed(0)} s (${sizeWords((bytes - before) / seconds)}/s)`;
    this.#log.info({ path, bytes }, `its file is here: ${sizeWords(bytes)}${how}`);
  }
}
