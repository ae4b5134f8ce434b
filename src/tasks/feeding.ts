/**
 * Batches whose tasks come little by little, as lines of a file that is read while the queue has room. Memory use and transactions stay
 * small, however long the file is; and as the reader's place in the file is written with the tasks, each line becomes one task or is
 * refused once, wherever the server is killed.
 */
import type { Clock } from "../common/clock.ts";
import { Mutex } from "../common/mutex.ts";
import { AltLasError } from "../errors.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { StoreRecord } from "../store/store.ts";
import type { Batch, BatchLines, LinesClosed, Task } from "../task.ts";
import type { Batches } from "./batches.ts";
import type { Chunk, FeedApi, RefusedLine } from "./feed-api.ts";
import type { Intake } from "./intake.ts";
import type { NewTasks } from "./new-tasks.ts";
import type { CancelFilter } from "./task-api.ts";
import type { Writer } from "./writer.ts";

/** Tasks of one batch that may wait beside those that run. */
const MOST_WAITING = 1000;
/** They wait even in a queue that is full of others': as many of a batch as may get slots next. */
const LEAST_WAITING = 16;
/** The part of the queue that all batches of files may fill together. */
const QUEUE_SHARE = 0.5;

export interface FeedingParts {
  readonly scheduler: Scheduler;
  readonly batches: Batches;
  readonly intake: Intake;
  readonly newTasks: NewTasks;
  readonly writer: Writer;
  readonly clock: Clock;
}

export class Feeding implements FeedApi {
  readonly #parts: FeedingParts;
  readonly #turns = new Mutex();

  constructor(parts: FeedingParts) {
    this.#parts = parts;
  }

  async open(
    { id, user, team, size }: Pick<Batch, "id" | "user" | "team" | "size">,
    place: number,
    records: readonly StoreRecord[],
  ): Promise<Batch> {
    const { newTasks, batches, writer, clock } = this.#parts;
    const batch: Batch = {
      id,
      user,
      team,
      firstSeq: newTasks.reserve(size),
      size,
      whole: false,
      webhook: null,
      createdAt: clock.now() + clock.ahead,
      finishedAt: null,
      lines: { toCome: size, failed: 0, canceled: 0, place, closed: null },
    };
    await writer.admit([], [{ kind: "batch", batch }, ...records]);
    batches.add(batch);
    return batch;
  }

  feed(id: string, chunk: Chunk, recordsOf: Parameters<FeedApi["feed"]>[2]): Promise<void> {
    return this.#turns.run(id, async () => {
      const { batch, lines } = this.#find(id);
      if (lines.closed !== null && chunk.tasks.length > 0) throw isClosed(id);
      const { fit, refused } = this.#made(batch, chunk);
      const count = chunk.refused + refused.length;
      const next = after(lines, { ...chunk, refused: count, taken: fit.length });
      const records = (): readonly StoreRecord[] => [
        { kind: "batch", batch: { ...batch, lines: next } },
        ...notesOf(fit),
        ...recordsOf(refused),
      ];
      const { intake, writer, batches } = this.#parts;
      if (fit.length === 0) await writer.admit([], records());
      else
        await Promise.try(() =>
          intake.take(
            fit.map(({ task }) => task),
            "single",
            records,
          ),
        ).catch(thrownAsFull);
      batch.lines = next;
      batches.refused(id, count);
    });
  }

  async room(id: string, signal: AbortSignal): Promise<number> {
    const { batches } = this.#parts;
    for (;;) {
      const waiting = batches.inFlight(id);
      if (waiting === null || batches.linesOf(id)?.closed !== null || signal.aborted) return 0;
      const most = this.#mostOf(waiting);
      if (waiting <= most / 2) return most - waiting;
      await batches.below(id, Math.floor(most / 2), signal);
    }
  }

  /** Tasks that a batch may have now. @param waiting those that it has */
  #mostOf(waiting: number): number {
    const { scheduler } = this.#parts;
    const slots = scheduler.instances.reduce((sum, { facts }) => sum + facts.slots, 0);
    const free = Math.floor(QUEUE_SHARE * scheduler.maxQueueSize) - scheduler.queueSize;
    return Math.max(LEAST_WAITING, Math.min(waiting + free, MOST_WAITING + slots));
  }

  close(id: string, why: LinesClosed): Promise<number> {
    return this.#turns.run(id, async () => {
      const { batches, writer, clock } = this.#parts;
      const lines = batches.linesOf(id);
      if (lines === null || lines.closed !== null) return 0;
      const { batch } = this.#find(id);
      const next = { ...lines, closed: { why, at: clock.now() + clock.ahead } };
      await writer.admit([], [{ kind: "batch", batch: { ...batch, lines: next } }]);
      batch.lines = next;
      batches.wake(id);
      return lines.toCome;
    });
  }

  /** Closes the batches whose lines a cancellation means. @returns how many lines come to nothing by it */
  async cancel({ ids, status, taskType, gpuId, model, user, batchId, since, until }: CancelFilter): Promise<number> {
    // These are said of tasks, and a line is none yet.
    if (ids !== undefined || taskType !== undefined || gpuId !== undefined || model !== undefined) return 0;
    if (status !== undefined && status !== "queued") return 0;
    const meant = this.#parts.batches
      .withLines()
      .filter(
        (batch) =>
          (batchId === undefined || batch.id === batchId) &&
          (user === undefined || batch.user === user) &&
          (since === undefined || batch.createdAt >= since) &&
          (until === undefined || batch.createdAt < until),
      );
    const counts = await Promise.all(meant.map(({ id }) => this.close(id, "canceled")));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  lines(id: string): BatchLines | null {
    return this.#parts.batches.linesOf(id);
  }

  end(id: string, signal: AbortSignal): Promise<boolean> {
    return this.#parts.batches.end(id, signal);
  }

  #find(id: string): { readonly batch: Batch; readonly lines: BatchLines } {
    const batch = this.#parts.batches.live(id);
    if (batch === undefined || batch.lines === null) throw isClosed(id);
    return { batch, lines: batch.lines };
  }

  /** @throws {AltLasError} no GPU could do one of them now */
  #made(batch: Batch, chunk: Chunk): { fit: readonly Made[]; refused: readonly RefusedLine[] } {
    const { newTasks, scheduler } = this.#parts;
    const fit: Made[] = [];
    const refused: RefusedLine[] = [];
    for (const [place, task] of newTasks.makeLines(chunk, batch).entries()) {
      const { index, input } = chunk.tasks[place]!;
      const error = scheduler.questions.refusalOf(task);
      if (error === null) fit.push({ task, note: input.note });
      else if (error.status < 500) refused.push({ index, error });
      else throw error;
    }
    return { fit, refused };
  }
}

interface Made {
  readonly task: Task;
  readonly note: string | undefined;
}

function notesOf(made: readonly Made[]): StoreRecord[] {
  return made.flatMap(({ task: { seq }, note }) => (note === undefined ? [] : [{ kind: "note", seq, note } as const]));
}

function after(
  { toCome, failed, canceled, closed }: BatchLines,
  { taken, refused, place }: Pick<Chunk, "refused" | "place"> & { readonly taken: number },
): BatchLines {
  const isCanceled = closed?.why === "canceled";
  return {
    toCome: toCome - taken - refused,
    failed: failed + (isCanceled ? 0 : refused),
    canceled: canceled + (isCanceled ? refused : 0),
    place,
    closed,
  };
}

function isClosed(id: string): AltLasError {
  return new AltLasError("conflict", `No more tasks are added to the batch ${id}.`);
}

/** A batch that is too much at once for the caller is not too much line by line. */
function thrownAsFull(error: unknown): never {
  const isTooMuch = error instanceof AltLasError && error.code === "invalid_input" && error.param === "batch";
  throw isTooMuch ? new AltLasError("queue_full", error.message) : error;
}
