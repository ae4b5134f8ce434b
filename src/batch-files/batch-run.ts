/** One batch of a file, from where it stands to its end. It may be given up at any point, and taken up again. */
import type { Readable } from "node:stream";
import type { Mutex } from "../common/mutex.ts";
import { AltLasError } from "../errors.ts";
import type { BatchFile, BatchProgress, LineFault } from "../store/batch-files.ts";
import type { StoreRecord } from "../store/store.ts";
import type { LinesClosed } from "../task.ts";
import { progressOf } from "./batch-file-api.ts";
import type { BatchFilesParts } from "./parts.ts";
import { checkLines } from "./check.ts";
import { Feeder, type FedBatch } from "./feeder.ts";
import { type Line, linesOf } from "./lines.ts";

/** Milliseconds that a timer waits at most: timers know no longer times than some weeks. */
const LONGEST_WAIT = 3_600_000;
/** Milliseconds between two looks at whether a batch's end is stored. */
const LOOK_FOR_END = 100;

export interface BatchRunParts extends BatchFilesParts {
  readonly turns: Mutex;
  /** Of one user one file at a time has a long line in memory, while files are checked, and one while they become tasks. */
  readonly longLines: Mutex;
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

export class BatchRun {
  readonly #parts: BatchRunParts;
  readonly #id: string;
  /** The server stops. */
  readonly #signal: AbortSignal;

  constructor(parts: BatchRunParts, id: string, signal: AbortSignal) {
    this.#parts = parts;
    this.#id = id;
    this.#signal = signal;
  }

  /** @throws what kept it from going on; it may be run again */
  async run(): Promise<void> {
    const file = await this.#file();
    if (file === null || file.endedAt !== null) return;
    if (file.startedAt !== null) this.#tellOfGoingOn(file);
    else if (!(await this.#begin(file))) return;
    const over = new AbortController();
    const late = this.#closeWhenLate(file, AbortSignal.any([over.signal, this.#signal]));
    try {
      await this.#feed();
    } finally {
      over.abort();
      await late;
    }
    if (this.#signal.aborted || !(await this.#parts.feeding.end(this.#id, this.#signal))) return;
    await this.#end();
  }

  #tellOfGoingOn({ user }: BatchFile): void {
    const { feeding, log } = this.#parts;
    const toCome = feeding.lines(this.#id)?.toCome ?? 0;
    log.info({ batch: this.#id, user, lines_to_come: toCome }, "batch of a file goes on");
  }

  #file(): Promise<BatchFile | null> {
    return this.#parts.store.batchFiles.find(this.#id);
  }

  // --- checking --------------------------------------------------------------------------------------------------

  /** Checks the lines, and makes the batch of them. @returns whether it goes on */
  async #begin(file: BatchFile): Promise<boolean> {
    const checked = await this.#check(file);
    if (this.#signal.aborted) return false;
    const { turns, clock, feeding, log } = this.#parts;
    return turns.run(this.#id, async () => {
      // It may have been canceled meanwhile.
      const present = await this.#file();
      if (present === null || present.endedAt !== null) return false;
      if (checked.faults.length > 0) {
        await this.#fail(present, checked.faults);
        return false;
      }
      const started = { ...present, startedAt: clock.now() + clock.ahead };
      const { id, user, team } = started;
      await feeding.open({ id, user, team, size: checked.lines }, 0, [{ kind: "batch_file", file: started }]);
      log.info({ batch: id, user, lines: checked.lines }, "batch of a file began");
      return true;
    });
  }

  async #check(file: BatchFile): Promise<{ readonly lines: number; readonly faults: readonly LineFault[] }> {
    try {
      return await this.#read("check", file, 0, (lines) => checkLines(lines, file.endpoint));
    } catch (error) {
      const fault = this.#signal.aborted ? null : faultOfReading(error);
      if (fault === null) throw error;
      return { lines: 0, faults: [fault] };
    }
  }

  async #fail(file: BatchFile, faults: readonly LineFault[]): Promise<void> {
    const { clock, store, log } = this.#parts;
    const now = clock.now();
    const failed = { ...file, faults, failedAt: now + clock.ahead, endedAt: now, outputFile: null, errorFile: null };
    await store.save([], [{ kind: "batch_file", file: failed }, this.#release(file)]);
    const { line, code } = faults[0]!;
    log.info({ batch: this.#id, user: file.user, line, code }, "batch of a file refused");
  }

  // --- feeding ---------------------------------------------------------------------------------------------------

  async #feed(): Promise<void> {
    const { tasks, feeding } = this.#parts;
    const [file, state] = [await this.#file(), await tasks.batch(this.#id)];
    const lines = feeding.lines(this.#id);
    if (file === null || state === null || lines === null || lines.toCome === 0) return;
    const { firstSeq, size } = state.batch;
    try {
      await this.#read("feed", file, lines.place, (parts) => this.#feedAll({ file, firstSeq, size }, parts));
    } catch (error) {
      const fault = this.#signal.aborted ? null : faultOfReading(error);
      if (fault === null) throw error;
      await this.#giveUp(file, fault);
    }
    // Its end came too early: it was cut short on disk.
    if (!this.#signal.aborted && (feeding.lines(this.#id)?.toCome ?? 0) > 0) await this.#giveUp(file, CUT_SHORT);
  }

  #feedAll(batch: FedBatch, parts: AsyncIterable<readonly Line[]>): Promise<void> {
    const { feeding, endpoints, log, pause } = this.#parts;
    const endpoint = endpoints.byPath.get(batch.file.endpoint);
    if (endpoint === undefined) throw new Error(`no lines are taken for ${batch.file.endpoint}`);
    return new Feeder({ feeding, endpoint, log, pause }, batch, this.#signal).run(parts);
  }

  /** The lines to come cannot be read: they have failed. */
  async #giveUp(file: BatchFile, fault: LineFault): Promise<void> {
    const { feeding, clock, log } = this.#parts;
    log.error({ batch: this.#id, reason: fault.sentence }, "the lines of a batch cannot be read any more");
    await feeding.close(this.#id, "failed");
    const { toCome = 0, place = 0 } = feeding.lines(this.#id) ?? {};
    const failed = { ...file, faults: [fault], failedAt: clock.now() + clock.ahead };
    const chunk = { tasks: [], refused: toCome, place, keyName: null, deadline: 0 };
    await feeding.feed(this.#id, chunk, () => [{ kind: "batch_file", file: failed }]);
  }

  /** Closes the batch when its window is over; its tasks have the same deadline. */
  async #closeWhenLate({ deadline }: BatchFile, over: AbortSignal): Promise<void> {
    const { clock, pause } = this.#parts;
    while (!over.aborted) {
      const left = deadline - clock.now();
      if (left > 0) await pause(Math.min(left, LONGEST_WAIT), over);
      else if (await this.#close("expired")) return;
      else await pause(1000, over);
    }
  }

  /** @returns false: that could not be written */
  async #close(why: LinesClosed): Promise<boolean> {
    return this.#parts.feeding.close(this.#id, why).then(
      () => true,
      () => false,
    );
  }

  // --- the end ---------------------------------------------------------------------------------------------------

  /** Its outcome, when its end is stored: a database that is away takes that later. null: there is none, or the server stops */
  async #outcome(): Promise<BatchProgress | null> {
    const { tasks, pause } = this.#parts;
    while (!this.#signal.aborted) {
      const state = await tasks.batch(this.#id);
      const outcome = state && progressOf(state);
      if (outcome === null || outcome.finishedAt !== null) return outcome;
      await pause(LOOK_FOR_END, this.#signal);
    }
    return null;
  }

  async #end(): Promise<void> {
    const { store, clock, log } = this.#parts;
    const [file, outcome] = [await this.#file(), await this.#outcome()];
    if (file === null || outcome === null) return;
    const { completed, failed, canceled } = outcome;
    const ended: BatchFile = {
      ...file,
      outcome,
      endedAt: clock.now(),
      outputFile: completed > 0 ? file.outputFile : null,
      errorFile: failed + canceled > 0 ? file.errorFile : null,
    };
    await store.save([], [{ kind: "batch_file", file: ended }, this.#release(file)]);
    log.info({ batch: this.#id, user: file.user, completed, failed, canceled }, "batch of a file ended");
  }

  #release({ inputFile, id }: BatchFile): StoreRecord {
    return { kind: "file_release", id: inputFile, holder: id };
  }

  /** Reads the lines from a place on, and lets the file go in any case. */
  async #read<T>(
    what: "check" | "feed",
    { inputFile, user }: BatchFile,
    from: number,
    work: (lines: AsyncIterable<readonly Line[]>) => Promise<T>,
  ): Promise<T> {
    const { files, maxLineBytes, longLines } = this.#parts;
    const info = await files.find(inputFile);
    if (info === null) throw new AltLasError("not_found", "The input file is not there any more.");
    const { stream } = await files.open(info, from);
    const close = (): Readable => stream.destroy();
    this.#signal.addEventListener("abort", close);
    try {
      return await work(linesOf(stream, from, maxLineBytes, () => longLines.take([`${what} ${user}`])));
    } finally {
      this.#signal.removeEventListener("abort", close);
      stream.destroy();
    }
  }
}

/** null: it is about something else than the file */
function faultOfReading(error: unknown): LineFault | null {
  const isOfFile = (error instanceof AltLasError && error.code === "not_found") || isOfSystem(error);
  return isOfFile ? { ...CUT_SHORT, sentence: "The input file cannot be read any more." } : null;
}

function isOfSystem(error: unknown): boolean {
  return error instanceof Error && "syscall" in error;
}

const CUT_SHORT: LineFault = {
  line: null,
  code: "input_file_lost",
  sentence: "The input file was cut short on the server's disk.",
  param: null,
};
