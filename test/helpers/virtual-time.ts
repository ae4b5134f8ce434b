/**
 * Time that passes only while a test waits, and as fast as it can: timers and the monotonic clock of this process. So a machine that is slow
 * lets no limit pass that was not meant to, and none is waited for.
 *
 *     const time = new VirtualTime(t);
 *     await time.until(() => gpu.state === "faulted");
 *
 * For parts that wait for nothing but timers and each other: files, sockets, threads and processes take real time, which does not pass here.
 */
import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import { type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";

/** Milliseconds that pass at once: no timer that a test tells from another may be nearer to it. */
const STEP = 4;
/** Turns of the event loop between two steps: messages within this process take a turn each, and answers to them another. */
const TURNS = 4;
/** Milliseconds after which what is waited for does not come. */
const LONGEST = 3_600_000;

export class VirtualTime {
  readonly #tick: (milliseconds: number) => void;
  readonly #began = performance.now();
  #passed = 0;

  /** Begins, for the rest of the test. */
  constructor(t: TestContext) {
    t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
    t.mock.method(performance, "now", () => this.#began + this.#passed);
    // For those that import a timer by its name.
    syncBuiltinESMExports();
    this.#tick = (milliseconds) => t.mock.timers.tick(milliseconds);
  }

  /** Lets time pass until something holds. */
  async until(holds: () => boolean): Promise<void> {
    for (const end = this.#passed + LONGEST; ; this.#step()) {
      for (let left = TURNS; left > 0; left--) {
        if (holds()) return;
        await turn();
      }
      assert.ok(this.#passed < end, `not within ${LONGEST / 1000} s`);
    }
  }

  /** Lets time pass until it resolves. */
  async settled(coming: Promise<unknown>): Promise<void> {
    let isSettled = false;
    const settle = (): void => void (isSettled = true);
    coming.then(settle, settle);
    await this.until(() => isSettled);
    await coming;
  }

  #step(): void {
    this.#passed += STEP;
    this.#tick(STEP);
  }
}
