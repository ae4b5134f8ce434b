/** The lines of a fetch in the log: its begin, its milestones and its end. */
import type { Logger } from "../log/log.ts";
import type { FetchedModel, FetchProgress } from "./fetch.ts";
import { progressWords, sizeWords } from "../common/progress-words.ts";
import { Milestones } from "../common/milestones.ts";

export class FetchLog {
  readonly #log: Logger;
  readonly #source: string;
  readonly #milestones = new Milestones();
  /** The first figures; null: there were none yet. */
  #first: { readonly bytes: number; readonly at: number } | null = null;

  constructor(log: Logger, source: string) {
    this.#log = log;
    this.#source = source;
  }

  progress(progress: FetchProgress): void {
    const { bytes, total } = progress;
    if (!this.#milestones.isDue(progress)) return;
    if (this.#first !== null) return this.#log.info({ bytes, total }, `fetched ${progressWords(progress)}`);
    this.#first = { bytes, at: performance.now() };
    this.#log.info({ source: this.#source, bytes, total }, `fetching${total === null ? "" : ` ${sizeWords(total)}`}`);
  }

  /** All is here. */
  done({ bytes, path }: FetchedModel): void {
    const { at, bytes: before } = this.#first ?? { at: performance.now(), bytes };
    const seconds = (performance.now() - at) / 1000;
    const rate = `${sizeWords((bytes - before) / seconds)}/s`;
    const how = seconds < 1 ? "" : `, the last ${sizeWords(bytes - before)} in ${seconds.toFixed(0)} s (${rate})`;
    this.#log.info({ path, bytes }, `its file is here: ${sizeWords(bytes)}${how}`);
  }
}
