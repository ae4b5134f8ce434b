/** How far a fetch is, and how fast. */
import type { Progress } from "../common/download.ts";
import type { FetchProgress } from "./fetched.ts";

/** Milliseconds over which the rate is taken. */
const WINDOW = 5000;
/** Milliseconds between two reports. */
const EVERY = 500;

/** Reports as long as it is not disposed of, also while nothing comes: then the rate falls to 0. */
export class Meter implements Progress, Disposable {
  readonly #report: (progress: FetchProgress) => void;
  readonly #timer: NodeJS.Timeout;
  /** Bytes of the files that are done. */
  #done = 0;
  /** Bytes of the file that is being fetched. */
  #current = 0;
  /** Of that file; null: not known. */
  #currentTotal: number | null = null;
  /** Whether it is the only one. */
  #isAlone = false;
  #total: number | null = null;
  /** The pieces that came lately: bytes, and when (milliseconds). */
  #received: { readonly at: number; readonly bytes: number }[] = [];
  #began = performance.now();

  constructor(report: (progress: FetchProgress) => void) {
    this.#report = report;
    this.#timer = setInterval(() => this.report(), EVERY).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** @param total bytes of all files; null: not known. @param files how many there are */
  expect(total: number | null, files: number): void {
    this.#total = total;
    this.#isAlone = files === 1;
    this.#began = performance.now();
    this.report();
  }

  at(bytes: number, total: number | null): void {
    this.#current = bytes;
    this.#currentTotal = total;
  }

  received(bytes: number): void {
    this.#received.push({ at: performance.now(), bytes });
    if (this.#received.length > 10_000) this.#forget();
  }

  /** The current file is whole, and has so many bytes. */
  finished(bytes: number): void {
    this.#done += bytes;
    this.#current = 0;
    this.report();
  }

  report(): void {
    this.#forget();
    const bytes = this.#received.reduce((sum, { bytes: some }) => sum + some, 0);
    // At the beginning, the time has not been as long as the window yet.
    const seconds = Math.max(0.25, Math.min(WINDOW, performance.now() - this.#began) / 1000);
    const total = this.#total ?? (this.#isAlone ? this.#currentTotal : null);
    this.#report({ bytes: this.#done + this.#current, total, rate: Math.round(bytes / seconds) });
  }

  #forget(): void {
    const since = performance.now() - WINDOW;
    this.#received = this.#received.filter(({ at }) => at >= since);
  }
}
