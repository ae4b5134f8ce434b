/* The port of batches that come from files: what was asked for, and the lines that became no tasks. Their tasks are as any others. */
import type { ErrorCode } from "../errors.ts";
import type { BatchLines, Priority } from "../task.ts";

/** A batch whose lines come from a file. Times are Unix milliseconds, as they are shown, unless they are said to be others. */
export interface BatchFile {
  /** A UUID; `Batch` has the same. */
  readonly id: string;
  readonly user: string;
  /** The name of the API key that it came with; null: none. */
  readonly keyName: string | null;
  /** The team that its user was in when it came; null: none. */
  readonly team: string | null;
  /** The models that its key may ask for; absent: all. */
  readonly models?: readonly string[];
  readonly inputFile: string;
  /** The UUIDs, of version 7, of the files with what came of the lines and with what did not; null: there is nothing, or it was removed. */
  readonly outputFile: string | null;
  readonly errorFile: string | null;
  /** Like `/v1/chat/completions`. */
  readonly endpoint: string;
  /** As it was given, like `24h`. */
  readonly window: string;
  /** Of its lines that have none of their own. */
  readonly priority: Priority;
  readonly metadata: Readonly<Record<string, string>> | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** `expiresAt` by the server's clock. */
  readonly deadline: number;
  /** Milliseconds that its output is kept; null: as long as tasks are. */
  readonly outputLifetime: number | null;
  /** When its lines had been checked, and its `Batch` was made; null: that is yet to come, or never will. */
  readonly startedAt: number | null;
  /** When it was canceled before that. */
  readonly canceledAt: number | null;
  /** When it failed as a whole, because of these faults. */
  readonly failedAt: number | null;
  readonly faults: readonly LineFault[];
  /** The outcome of its lines, which stays when tasks are removed; null: they go on, or never began. */
  readonly outcome: BatchProgress | null;
  /** When it had ended, whichever way, by the server's clock; null: it has not, or nobody has noted it yet. */
  readonly endedAt: number | null;
}

/** How far its lines are. */
export interface BatchProgress {
  /** Lines. */
  readonly size: number;
  readonly completed: number;
  readonly failed: number;
  readonly canceled: number;
  /** null: some have not ended. */
  readonly finishedAt: number | null;
  /** As of `BatchLines`. */
  readonly closed: BatchLines["closed"];
}

/** Why a file cannot be a batch. */
export interface LineFault {
  /** From 1; null: it is about the whole file. */
  readonly line: number | null;
  readonly code: string;
  readonly sentence: string;
  /** The field that is at fault; null: none. */
  readonly param: string | null;
}

/** Why a line became no task. */
export interface LineFailure {
  readonly code: ErrorCode | "batch_expired" | "batch_cancelled";
  readonly sentence: string;
  readonly param: string | null;
}

/** A line that became no task. */
export interface RefusedLine {
  /** Of the task that it would have become. */
  readonly seq: number;
  /** null: it has none that could be read. */
  readonly customId: string | null;
  readonly failure: LineFailure;
}

export type BatchFileRecord =
  /** A new one, or the present state of a stored one. */
  | { readonly kind: "batch_file"; readonly file: BatchFile }
  | { readonly kind: "refused_line"; readonly line: RefusedLine };

/** Which to list, newest first; undefined: any. */
export interface BatchFileFilter {
  readonly user: string | undefined;
  readonly team?: string | undefined;
  /** Only those older than this one. */
  readonly after: string | undefined;
  readonly limit: number;
}

/** An output of a batch, as a place in the list of files: see `FilePlace`. */
export interface OutputFilter {
  readonly user: string | undefined;
  readonly team?: string | undefined;
  readonly order: "asc" | "desc";
  /** Only those whose ids come after this one, in the order of the list. */
  readonly after: string | undefined;
  readonly limit: number;
}

/**
 * Promises of every implementation, beside those of the whole store (test/kits/batch-files.ts):
 *  1. Each field comes back as it was, as far as UTF-8 can encode it.
 *  2. It is there as long as its `Batch`, and goes with its last task; its refused lines go with it. One that has ended and never had a
 *     task goes when tasks would that ended with it.
 */
export interface BatchFileStore {
  find(id: string): Promise<BatchFile | null>;
  /** The one that has this file as its output, or for its errors. */
  ofOutput(fileId: string): Promise<BatchFile | null>;
  list(filter: BatchFileFilter): Promise<BatchFile[]>;
  /** The outputs and the error files of those that have begun, in the order of their ids, each with its batch. */
  outputs(filter: OutputFilter): Promise<{ readonly id: string; readonly file: BatchFile }[]>;
  /** Those that have not ended, oldest first. */
  unfinished(): Promise<BatchFile[]>;
  /** The refused lines with `seq`s from one to another, in their order, at most `limit`. */
  refusedIn(from: number, to: number, limit: number): Promise<RefusedLine[]>;
}
