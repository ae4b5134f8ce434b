/** Batches of files, for the rest of the server. */
import { type FileInfo } from "../files/source.ts";
import { type BatchFile, type BatchFileFilter } from "../store/batch-files.ts";
import { type BatchSnapshot } from "../tasks/task-api.ts";

/** What a client asks for. */
export interface NewBatchFile {
  readonly user: string;
  readonly keyName: string | null;
  readonly input: FileInfo;
  readonly endpoint: string;
  /** As it was given, and in milliseconds. */
  readonly window: { readonly given: string; readonly milliseconds: number };
  readonly metadata: BatchFile["metadata"];
  /** Milliseconds; null: as long as tasks are kept. */
  readonly outputLifetime: number | null;
}

/** One as it is now. */
export interface BatchFileState {
  readonly file: BatchFile;
  /** Its tasks; null: there are none, as its lines are being checked or were found wrong. */
  readonly batch: BatchSnapshot | null;
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
