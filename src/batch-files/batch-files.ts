/**
 * Batches whose lines are in files that clients have uploaded. Each goes on by itself, from one run of the server to the next: its lines are
 * checked, then become tasks as there is room for them, and when the last has ended, the file is let go.
 */
import { randomUUID, randomUUIDv7 } from "node:crypto";
import { setTimeout as timeout } from "node:timers/promises";
import { Mutex } from "../common/mutex.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { BatchFile, BatchFileFilter } from "../store/batch-files.ts";
import { StoreLost, type StoreRecord } from "../store/store.ts";
import type { SubmitOptions } from "../tasks/task-api.ts";
import {
  type BatchFileApi,
  type BatchFileState,
  type CreatedBatchFile,
  type NewBatchFile,
  progressOf,
} from "./batch-file-api.ts";
import { BatchRun } from "./batch-run.ts";
import type { BatchFilesParts } from "./parts.ts";

/** Batches of one user that have not ended: each has a file open, and tasks that wait. */
const MOST_UNFINISHED = 64;
/** Milliseconds before a batch whose run has failed goes on. */
const PAUSE_AFTER_FAILURE = 5000;

export class BatchFiles implements BatchFileApi {
  readonly #parts: BatchFilesParts;
  readonly #runs = new Map<string, { readonly user: string; readonly done: Promise<void> }>();
  /** On their way to the disk: they count as well. */
  readonly #created = new Set<BatchFile>();
  /** Decisions about one batch follow each other. */
  readonly #turns = new Mutex();
  readonly #longLines = new Mutex();
  readonly #stopping = new AbortController();

  constructor(parts: BatchFilesParts) {
    this.#parts = parts;
  }

  /** Goes on with the batches of an earlier run; the task book has taken over its tasks by now. */
  async start(): Promise<void> {
    for (const file of await this.#parts.store.batchFiles.unfinished()) this.#run(file);
  }

  /** Resolves when none goes on any more; the next start of the server takes them up again. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([...this.#runs.values()].map(({ done }) => done));
  }

  async create(
    user: string,
    asked: () => Promise<NewBatchFile>,
    idempotency: SubmitOptions["idempotency"],
  ): Promise<CreatedBatchFile> {
    const make = async (recordsOf: (made: Made) => readonly StoreRecord[]): Promise<Made> => {
      const file = this.#newFile(await asked());
      const made = { id: file.id, replayed: false };
      await this.#begin(file, recordsOf(made));
      return { ...made, file };
    };
    const { id, file, replayed } =
      idempotency === null
        ? await make(() => [])
        : await this.#parts.idempotency.once<Made>(user, idempotency, (recordOf) => make((made) => [recordOf(made)]));
    const state = file === undefined ? await this.find(id) : { file, progress: null };
    if (state === null) throw new AltLasError("not_found", "The batch that this request made before was removed.");
    return { ...state, replayed };
  }

  /** @param records written together with it */
  async #begin(file: BatchFile, records: readonly StoreRecord[]): Promise<void> {
    this.#refuseTooMany(file.user);
    const { store, files } = this.#parts;
    this.#created.add(file);
    try {
      await store.save(
        [],
        [{ kind: "batch_file", file }, { kind: "file_hold", id: file.inputFile, holder: file.id }, ...records],
      );
    } catch (error) {
      if ((await files.find(file.inputFile)) !== null) throw error;
      throw new AltLasError("not_found", "The input file was removed.", { param: "input_file_id", cause: error });
    } finally {
      this.#created.delete(file);
    }
    this.#run(file);
  }

  async find(id: string): Promise<BatchFileState | null> {
    const file = await this.#parts.store.batchFiles.find(id);
    return file && this.#stateOf(file);
  }

  async list(filter: BatchFileFilter): Promise<readonly BatchFileState[]> {
    const files = await this.#parts.store.batchFiles.list(filter);
    return Promise.all(files.map((file) => this.#stateOf(file)));
  }

  cancel(id: string): Promise<BatchFileState> {
    return this.#turns.run(id, async () => {
      const state = await this.find(id);
      if (state === null) throw new AltLasError("not_found", "There is no such batch any more.");
      const { file, progress } = state;
      if (file.endedAt !== null || (progress !== null && progress.finishedAt !== null)) throw hasEnded();
      if (progress === null) return { file: await this.#cancelBefore(file), progress };
      await this.#parts.tasks.cancelMatching({ batchId: id, ids: undefined, user: undefined, status: undefined });
      return this.#stateOf(file);
    });
  }

  /** Cancels all of a user's; resolves when they have ended, or the server stops. */
  async endAllOf(user: string): Promise<void> {
    const own = [...this.#runs].filter(([, run]) => run.user === user);
    for (const [id] of own) {
      await this.cancel(id).catch((error: unknown) => {
        // It has ended meanwhile.
        if (!(error instanceof AltLasError) || (error.code !== "conflict" && error.code !== "not_found")) throw error;
      });
    }
    await Promise.all(own.map(([, { done }]) => done));
  }

  /** It has no tasks yet. */
  async #cancelBefore(file: BatchFile): Promise<BatchFile> {
    const { clock, store } = this.#parts;
    const now = clock.now();
    const canceled = { ...file, canceledAt: now + clock.ahead, endedAt: now, outputFile: null, errorFile: null };
    await store.save(
      [],
      [
        { kind: "batch_file", file: canceled },
        { kind: "file_release", id: file.inputFile, holder: file.id },
      ],
    );
    this.#parts.log.info(
      { batch: file.id, user: file.user, completed: 0, failed: 0, canceled: 0 },
      "batch of a file ended",
    );
    return canceled;
  }

  async #stateOf(file: BatchFile): Promise<BatchFileState> {
    if (file.outcome !== null || file.startedAt === null) return { file, progress: file.outcome };
    const batch = await this.#parts.tasks.batch(file.id);
    return { file, progress: batch && progressOf(batch) };
  }

  #refuseTooMany(user: string): void {
    const own = [...this.#runs.values(), ...this.#created].filter((one) => one.user === user).length;
    if (own < MOST_UNFINISHED) return;
    const sentence = `${user} has ${own} batches that have not ended, which is the most. Try again when one has.`;
    throw new AltLasError("rate_limited", sentence);
  }

  #newFile({ models, input, window, ...asked }: NewBatchFile): BatchFile {
    const { clock } = this.#parts;
    const now = clock.now();
    const createdAt = now + clock.ahead;
    return {
      id: randomUUID(),
      ...asked,
      ...(models !== null && { models }),
      inputFile: input.id,
      // The time in them gives them their places in the list of files.
      outputFile: randomUUIDv7(),
      errorFile: randomUUIDv7(),
      window: window.given,
      createdAt,
      expiresAt: createdAt + window.milliseconds,
      deadline: now + window.milliseconds,
      startedAt: null,
      canceledAt: null,
      failedAt: null,
      faults: [],
      outcome: null,
      endedAt: null,
    };
  }

  #run(file: BatchFile): void {
    const done = this.#goOn(file).finally(() => this.#runs.delete(file.id));
    this.#runs.set(file.id, { user: file.user, done });
  }

  /** Never rejects: what goes wrong is tried again. */
  async #goOn({ id }: BatchFile): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.#parts;
    const parts = { pause, ...this.#parts, turns: this.#turns, longLines: this.#longLines };
    while (!signal.aborted) {
      try {
        return await new BatchRun(parts, id, signal).run();
      } catch (error) {
        if (error instanceof StoreLost || signal.aborted) return;
        log.error({ batch: id, reason: messageOf(error) }, "a batch of a file cannot go on; trying again");
        await parts.pause(PAUSE_AFTER_FAILURE, signal);
      }
    }
  }
}

/** An answer to a request for a batch. */
interface Made {
  readonly id: string;
  readonly replayed: boolean;
  /** Absent from what is remembered, as its texts are not to be repeated. */
  readonly file?: BatchFile;
}

/** Resolves after so many milliseconds, or when the signal aborts. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await timeout(milliseconds, undefined, { signal }).catch(() => undefined);
}

function hasEnded(): AltLasError {
  return new AltLasError("conflict", "The batch has ended already.");
}
