/** The lines of a fetch in the log: its begin, every tenth of it or every 30 s, and its end. */
import { type Logger } from "../log/log.ts";
import { type FetchedModel, type FetchProgress } from "./fetch.ts";
import { progressWords, sizeWords } from "./fetch-words.ts";

/** Milliseconds after which a line comes, however little has. */
const SILENCE = 30_000;

export class FetchLog {
  readonly #log: Logger;
  readonly #source: string;
  readonly #begun = performance.now();
  #saidAt: number | null = null;
  #tenths = 0;
  /** Bytes that were here before. */
  #before = 0;

  constructor(log: Logger, source: string) {
    this.#log = log;
    this.#source = source;
  }

  progress(progress: FetchProgress): void {
    const { bytes, total } = progress;
    const tenths = total === null || total === 0 ? 0 : Math.floor((10 * bytes) / total);
    const now = performance.now();
    if (this.#saidAt === null) {
      this.#before = bytes;
      const size = total === null ? "" : `, ${sizeWords(total)}`;
      const rest = bytes === 0 ? "" : `, of which ${sizeWords(bytes)} were here already`;
      this.#log.info({ source: this.#source, bytes, total }, `fetching${size}${rest}`);
    } else if (tenths <= this.#tenths && now - this.#saidAt < SILENCE) return;
    else this.#log.info({ bytes, total }, `fetched ${progressWords(progress)}`);
    this.#saidAt = now;
    this.#tenths = tenths;
  }

  /** All is here. */
  done({ bytes, path }: FetchedModel): void {
    const seconds = (performance.now() - this.#begun) / 1000;
    const rate = Math.max(0, bytes - this.#before) / Math.max(seconds, 0.001);
    const how = this.#saidAt === null ? "" : ` in ${seconds.toFixed(1)} s, ${sizeWords(rate)}/s`;
    this.#log.info({ path, bytes }, `its file is here: ${sizeWords(bytes)}${how}`);
  }
}
