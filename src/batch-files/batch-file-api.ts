/** Batches of files, for the rest of the server. */
import type { FileInfo } from "../files/source.ts";
import type { BatchFile, BatchFileFilter, BatchProgress } from "../store/batch-files.ts";
import type { BatchState } from "../store/tasks.ts";
import type { SubmitOptions } from "../tasks/task-api.ts";

/** A client's request for a batch. */
export interface NewBatchFile {
  readonly user: string;
  readonly keyName: string | null;
  readonly team: string | null;
  /** The models that its key may ask for; null: all. */
  readonly models: readonly string[] | null;
  readonly input: FileInfo;
  readonly endpoint: string;
  /** As it was given, and in milliseconds. */
  readonly window: { readonly given: string; readonly milliseconds: number };
  readonly priority: BatchFile["priority"];
  readonly metadata: BatchFile["metadata"];
  /** Milliseconds; null: as long as tasks are kept. */
  readonly outputLifetime: number | null;
}

/** One as it is now. */
export interface BatchFileState {
  readonly file: BatchFile;
  /** null: its lines are being checked, or were found wrong. */
  readonly progress: BatchProgress | null;
}

/** One that was asked for. */
export interface CreatedBatchFile extends BatchFileState {
  /** Set when an earlier request with this key made it. */
  readonly replayed: boolean;
}

/** The progress of a batch that has tasks. */
export function progressOf({ batch, counts }: BatchState): BatchProgress {
  const { completed, failed, canceled } = counts;
  const { size, finishedAt, lines } = batch;
  return { size, completed, failed, canceled, finishedAt, closed: lines?.closed ?? null };
}

export interface BatchFileApi {
  /**
   * @param asked is called where it is made, and not where it was made before
   * @param idempotency with the same, no second one is made: the first is returned, as it is by then
   * @throws {AltLasError} what `asked` throws; `rate_limited`: its user has too many; `not_found`: the file was just removed, or the first one was since;
   * `conflict`: the key belongs to another request; `store_unavailable`
   */
  create(
    user: string,
    asked: () => Promise<NewBatchFile>,
    idempotency: SubmitOptions["idempotency"],
  ): Promise<CreatedBatchFile>;
  /** One, whoever it belongs to. */
  find(id: string): Promise<BatchFileState | null>;
  /** Newest first. */
  list(filter: BatchFileFilter): Promise<readonly BatchFileState[]>;
  /** Lets no more lines become tasks, and cancels those that are. @throws {AltLasError} `conflict`: it has ended; `not_found` */
  cancel(id: string): Promise<BatchFileState>;
}
