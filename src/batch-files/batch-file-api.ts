/** Batches of files, for the rest of the server. */
import type { FileInfo } from "../files/source.ts";
import type { BatchFile, BatchFileFilter, BatchProgress } from "../store/batch-files.ts";
import type { BatchState } from "../store/tasks.ts";

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

/** The progress of a batch that has tasks. */
export function progressOf({ batch, counts }: BatchState): BatchProgress {
  const { completed, failed, canceled } = counts;
  const { size, finishedAt, lines } = batch;
  return { size, completed, failed, canceled, finishedAt, closed: lines?.closed ?? null };
}

export interface BatchFileApi {
  /** @throws {AltLasError} `rate_limited`: its user has too many; `not_found`: the file was just removed; `store_unavailable` */
  create(asked: NewBatchFile): Promise<BatchFileState>;
  /** One, whoever it belongs to. */
  find(id: string): Promise<BatchFileState | null>;
  /** Newest first. */
  list(filter: BatchFileFilter): Promise<readonly BatchFileState[]>;
  /** Lets no more lines become tasks, and cancels those that are. @throws {AltLasError} `conflict`: it has ended; `not_found` */
  cancel(id: string): Promise<BatchFileState>;
}
