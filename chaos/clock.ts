/**
 * The wall clock of the servers, which can be set while they run: libfaketime (https://github.com/wolfcw/libfaketime) stands between them
 * and the system's, and reads from a file how far it is off. The clock that only goes forward stays the system's.
 */
import { globSync, renameSync, writeFileSync } from "node:fs";
import { type Environment } from "./lives.ts";

/** Where Debian's package libfaketime has it, and other systems. */
const LIBRARY = "/usr/{lib,lib64}/{,*/}faketime/libfaketimeMT.so.1";

/** What workers need to have the same clock. */
export const CLOCK_VARIABLES = [
  "FAKETIME_TIMESTAMP_FILE",
  "FAKETIME_NO_CACHE",
  "FAKETIME_DONT_FAKE_MONOTONIC",
  "DONT_FAKE_MONOTONIC",
  "NO_FAKE_STAT",
];

export class WallClock {
  readonly #file: string;
  readonly #library = globSync(LIBRARY)[0];

  /** @param file says how far the clock is off */
  constructor(file: string) {
    this.#file = file;
    this.set(0);
  }

  /** Whether it can be set. */
  get canStep(): boolean {
    return this.#library !== undefined;
  }

  /** For a server whose clock is to be set. */
  get environment(): Environment {
    if (this.#library === undefined) return {};
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    };
  }

  /** @param seconds that it is ahead of the system's; below 0: behind */
  set(seconds: number): void {
    // Whoever reads in between finds the one or the other.
    writeFileSync(`${this.#file}.new`, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}
