/** Keeps asking a server for the figures of its load; whatever goes wrong with that costs the figures, and nothing else. */
import type { UpstreamFigures } from "../engine.ts";
import type { Figures } from "./dialect.ts";

/** Milliseconds between two questions; after one that was not answered, a server that has no figures is not asked all the time. */
const INTERVAL = 1000;
const PAUSE = 15_000;

export class LoadWatch {
  readonly #read: () => Promise<Figures | null>;
  /** Answers for which our requests may still be in the figures. */
  readonly #memory: number;
  readonly #silent: () => void;
  /** The most requests of ours at once, before each of the last answers; the last one is not complete yet. */
  #peaks: number[] = [0];
  #ours = 0;
  #figures: UpstreamFigures | null = null;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param lag seconds that the figures may be behind @param silent called when it has told nothing */
  constructor(read: () => Promise<Figures | null>, lag: number, silent: () => void) {
    this.#read = read;
    this.#silent = silent;
    this.#memory = Math.ceil((lag * 1000) / INTERVAL);
  }

  get figures(): UpstreamFigures | null {
    return this.#figures;
  }

  /** How many requests of ours there are from now on. */
  count(ours: number): void {
    this.#ours = ours;
    const last = this.#peaks.length - 1;
    this.#peaks[last] = Math.max(this.#peaks[last]!, ours);
  }

  start(): void {
    void this.#ask();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #ask(): Promise<void> {
    const told = await this.#read().catch(() => null);
    if (this.#stopped) return;
    if (told === null) this.#silent();
    this.#figures = told === null ? null : { ...told, ours: Math.max(...this.#peaks) };
    this.#peaks = [...this.#peaks.slice(-this.#memory), this.#ours];
    this.#timer = setTimeout(() => void this.#ask(), told === null ? PAUSE : INTERVAL);
  }
}
