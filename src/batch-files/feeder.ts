/**
 * Gives the lines of one batch to the task book, as fast as that has room for them, from the place on that is on disk. A line that cannot be a
 * task is refused alone. A server that is full, or cannot write, or has no GPU now is waited for.
 */
import { setImmediate as turn } from "node:timers/promises";
import { AltLasError, messageOf } from "../errors.ts";
import type { BatchFile, LineFailure, RefusedLine } from "../store/batch-files.ts";
import { type StoreLog, StoreLost, type StoreRecord } from "../store/store.ts";
import type { BatchLines, LinesClosed } from "../task.ts";
import type { Chunk, FeedApi, LineTask } from "../tasks/feed-api.ts";
import type { LineEndpoint } from "./endpoints.ts";
import type { LineNote } from "./line-note.ts";
import type { Line } from "./lines.ts";
import { LineProblem, requestOf } from "./request-lines.ts";

/** Lines, and bytes of them, that are written at once. */
const MOST_LINES = 250;
const MOST_BYTES = 1024 * 1024;
/** Lines that are looked at in one turn of the event loop. */
const AT_ONCE = 32;
/** Refusals that are written at once. */
const MOST_REFUSED = 1000;
/** Milliseconds before what was refused for now is tried again, the first time and at most. */
const FIRST_PAUSE = 20;
const LONGEST_PAUSE = 1000;

export interface FeederParts {
  readonly feeding: FeedApi;
  readonly endpoint: LineEndpoint;
  readonly log: StoreLog;
  /** Waits; for tests. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** A batch that has its `Batch`. */
export interface FedBatch {
  readonly file: BatchFile;
  readonly firstSeq: number;
  readonly size: number;
}

/** A line on its way: it becomes a task, or is refused. */
type Prepared = { readonly index: number; readonly customId: string | null; readonly end: number } & (
  | { readonly task: LineTask }
  | { readonly task: null; readonly failure: LineFailure }
);

export class Feeder {
  readonly #parts: FeederParts;
  readonly #batch: FedBatch;
  readonly #signal: AbortSignal;
  /** The index of the next line. */
  #next = 0;
  /** The lines before the next ones are being taken. */
  #giving: Promise<void> = Promise.resolve();
  /** Tasks for which there is room. */
  #room = 0;
  /** How often in a row the last lines could not be taken. */
  #failures = 0;

  /** @param signal the server stops */
  constructor(parts: FeederParts, batch: FedBatch, signal: AbortSignal) {
    this.#parts = parts;
    this.#batch = batch;
    this.#signal = signal;
  }

  /**
   * Feeds the lines to come; returns when none are left, there are no more of them, or the signal aborts.
   * @param parts from the place on that is on disk
   * @throws what reading throws
   */
  async run(parts: AsyncIterable<readonly Line[]>): Promise<void> {
    let lines: Line[] = [];
    let bytes = 0;
    this.#next = this.#batch.size - (this.#lines?.toCome ?? 0);
    for await (const part of parts) {
      for (const line of part) {
        if (this.#signal.aborted || this.#next + lines.length >= this.#batch.size) break;
        lines.push(line);
        bytes += line.bytes?.length ?? 0;
        if (bytes < MOST_BYTES && lines.length < (this.#closed === null ? MOST_LINES : MOST_REFUSED)) continue;
        await this.#take(lines);
        lines = [];
        bytes = 0;
      }
      if (this.#signal.aborted) break;
    }
    if (lines.length > 0) await this.#take(lines);
    await this.#giving;
  }

  get #lines(): BatchLines | null {
    return this.#parts.feeding.lines(this.#batch.file.id);
  }

  get #closed(): LinesClosed | null {
    return this.#lines?.closed?.why ?? null;
  }

  /** Prepares these lines while those before are still being written. */
  async #take(lines: readonly Line[]): Promise<void> {
    const prepared: Prepared[] = [];
    for (const line of lines) {
      prepared.push(await this.#prepare(line, this.#next++));
      // Others have their turn.
      if (prepared.length % AT_ONCE === 0) await turn();
    }
    await this.#giving;
    this.#giving = this.#give(prepared);
    // The next that awaits it is told.
    this.#giving.catch(() => {});
  }

  async #prepare(line: Line, index: number): Promise<Prepared> {
    const { file } = this.#batch;
    const { end } = line;
    let customId: string | null = null;
    try {
      const request = requestOf(line, file.endpoint);
      ({ customId } = request);
      if (this.#closed !== null) return { index, customId, end, task: null, failure: failureOf(this.#closed) };
      const { input, strategy, pinnedGpuId, kept } = await this.#parts.endpoint.inputOf(request.body, file);
      const note: LineNote = { api: "line", custom_id: customId, endpoint: file.endpoint, kept };
      const task = { index, input: { ...input, note: JSON.stringify(note) }, strategy, pinnedGpuId };
      return { index, customId, end, task };
    } catch (error) {
      return { index, customId, end, task: null, failure: this.#refusal(error) };
    }
  }

  #refusal(error: unknown): LineFailure {
    if (error instanceof AltLasError) return { code: error.code, sentence: error.message, param: error.param };
    // The file was another one when it was checked.
    if (error instanceof LineProblem) return { code: "invalid_input", sentence: error.message, param: error.param };
    this.#parts.log.error({ batch: this.#batch.file.id, err: error }, "a line of a batch could not be read");
    return { code: "internal_error", sentence: "Internal error.", param: null };
  }

  /** Has the book take these lines, however long that takes. */
  async #give(lines: readonly Prepared[]): Promise<void> {
    while (!this.#signal.aborted) {
      const closed = this.#closed;
      const given = closed === null ? lines : lines.map((line) => asClosed(line, closed));
      const tasks = given.flatMap(({ task }) => task ?? []);
      if (tasks.length > 0 && this.#room <= 0) this.#room = await this.#parts.feeding.room(this.#id, this.#signal);
      if (this.#signal.aborted) return;
      // It was closed meanwhile.
      if (tasks.length > 0 && this.#room <= 0) continue;
      try {
        await this.#feed(given, tasks);
        this.#failures = 0;
        return;
      } catch (error) {
        if (isFull(error) && lines.length > 1) {
          const half = lines.length >> 1;
          await this.#give(lines.slice(0, half));
          return await this.#give(lines.slice(half));
        }
        await this.#wait(error);
      }
    }
  }

  get #id(): string {
    return this.#batch.file.id;
  }

  async #feed(lines: readonly Prepared[], tasks: readonly LineTask[]): Promise<void> {
    const { file } = this.#batch;
    const refused = lines.flatMap((line) =>
      line.task === null ? [this.#recordOf(line.index, line.customId, line.failure)] : [],
    );
    const chunk: Chunk = {
      tasks,
      refused: refused.length,
      place: lines.at(-1)!.end,
      keyName: file.keyName,
      deadline: file.deadline,
    };
    const ids = new Map(lines.map(({ index, customId }) => [index, customId]));
    await this.#parts.feeding.feed(this.#id, chunk, (impossible) => [
      ...refused,
      ...impossible.map(({ index, error }) => {
        const { code, message: sentence, param } = error;
        return this.#recordOf(index, ids.get(index)!, { code, sentence, param });
      }),
    ]);
    this.#room -= tasks.length;
  }

  #recordOf(index: number, customId: string | null, failure: LineFailure): StoreRecord {
    const line: RefusedLine = { seq: this.#batch.firstSeq + index, customId, failure };
    return { kind: "refused_line", line };
  }

  /** @throws what is no passing trouble */
  async #wait(error: unknown): Promise<void> {
    // It has been closed, and the lines are refused next.
    if (error instanceof AltLasError && error.code === "conflict") return;
    if (error instanceof StoreLost || !(error instanceof AltLasError) || !PASSING.has(error.code)) throw error;
    this.#failures++;
    if (this.#failures === 10) {
      const about = { batch: this.#id, code: error.code, reason: messageOf(error) };
      this.#parts.log.warn(about, "a batch of a file waits until its lines can be taken");
    }
    this.#room = 0;
    await this.#parts.pause(Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (this.#failures - 1)), this.#signal);
  }
}

/** Refusals that do not last. */
const PASSING: ReadonlySet<string> = new Set([
  "queue_full",
  "rate_limited",
  "budget_exceeded",
  "draining",
  "not_ready",
  "no_usable_gpu",
  "store_unavailable",
]);

const FULL: ReadonlySet<string> = new Set(["queue_full", "rate_limited", "budget_exceeded"]);

/** Whether less at once may be taken. */
function isFull(error: unknown): boolean {
  return error instanceof AltLasError && FULL.has(error.code);
}

function asClosed(line: Prepared, why: LinesClosed): Prepared {
  const { index, customId, end } = line;
  return line.task === null ? line : { index, customId, end, task: null, failure: failureOf(why) };
}

function failureOf(why: LinesClosed): LineFailure {
  return { ...FAILURES[why], param: null };
}

const FAILURES = {
  canceled: { code: "batch_cancelled", sentence: "This request was not executed, as the batch was canceled before." },
  expired: {
    code: "batch_expired",
    sentence: "This request was not executed, as the completion window of the batch was over before.",
  },
  failed: { code: "internal_error", sentence: "This request was not executed, as its file could not be read." },
} as const;
