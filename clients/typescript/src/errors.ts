/** Failures. Each has a sentence for people and a code for programs: one of the server, or one of this client. */
import type { ErrorCode, Task } from "./types.ts";

/** Codes that this client adds to those of the server. */
export type ClientErrorCode =
  /** No server answers, or the connection was cut. */
  | "no_connection"
  /** What answers is not ALT_LAS, such as a proxy. */
  | "not_alt_las"
  /** The server is older than this client can use. */
  | "server_too_old"
  /** A task ended because somebody canceled it. */
  | "canceled"
  /** Results of a batch are not kept any more. */
  | "results_gone"
  /** A webhook is not from the server, or is too old. */
  | "bad_signature";

/** The codes of the server may grow, so a program has to expect others. */
export type Code = ErrorCode | ClientErrorCode | (string & {});

export interface FailureFacts {
  /** Of the answer; left out: there was none. */
  readonly status?: number;
  /** Seconds after which the server wants to be asked again. */
  readonly retryAfter?: number;
  /** Names the request in the server's log. */
  readonly requestId?: string;
  /** Of a `conflict`: the status that stands in the way. */
  readonly conflictStatus?: string;
  /** Whether the same request may succeed later. */
  readonly isTemporary?: boolean;
  readonly cause?: unknown;
}

/** A request that came to nothing. */
export class AltLasError extends Error {
  readonly code: Code;
  readonly status: number | null;
  readonly retryAfter: number | null;
  readonly requestId: string | null;
  readonly conflictStatus: string | null;
  readonly isTemporary: boolean;

  constructor(code: Code, sentence: string, facts: FailureFacts = {}) {
    super(sentence, { cause: facts.cause });
    this.name = "AltLasError";
    this.code = code;
    this.status = facts.status ?? null;
    this.retryAfter = facts.retryAfter ?? null;
    this.requestId = facts.requestId ?? null;
    this.conflictStatus = facts.conflictStatus ?? null;
    this.isTemporary = facts.isTemporary ?? false;
  }
}

/** A task that failed or was canceled. */
export class TaskError extends AltLasError {
  readonly task: Task;

  constructor(task: Task) {
    const isCanceled = task.status === "canceled";
    const sentence = isCanceled ? `Task ${task.task_id} was canceled.` : (task.error ?? `Task ${task.task_id} failed.`);
    super(isCanceled ? "canceled" : (task.error_code ?? "internal_error"), sentence);
    this.name = "TaskError";
    this.task = task;
  }
}
