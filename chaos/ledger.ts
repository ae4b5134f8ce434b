/** What the clients were told, so that the server can be held to it. What contradicts itself is found at once. */
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { isFinal, type TaskStatus } from "../src/task.ts";
import { type User } from "./api.ts";
import { type Item } from "./kinds.ts";
import { type Report } from "./report.ts";

/** One POST, however often it had to be sent. */
export interface Submission {
  /** Sent as `task_type`, so that each task tells where it comes from. */
  readonly tag: string;
  readonly user: User;
  readonly items: readonly Item[];
  readonly isBatch: boolean;
  /** The batch was sent with `batch_split: false`. */
  readonly isWhole: boolean;
  readonly pinnedGpuId: number | null;
  /** Sent as `Idempotency-Key`; null: it cannot be sent again. */
  readonly key: string | null;
  /** Its tasks, or the batch, have a webhook for the default events. */
  readonly hasWebhook: boolean;
  /** The path and the body, for sending the same again. */
  readonly path: string;
  readonly body: object;
  /** What was answered. */
  tasks: readonly TaskRecord[] | null;
  batchId: string | null;
  /** A server died before it answered: the tasks may exist. */
  unanswered: boolean;
  /** The last word was a refusal. */
  refused: boolean;
}

/** One task that a client was told of. */
export interface TaskRecord {
  readonly id: string;
  readonly user: User;
  readonly item: Item;
  readonly submission: Submission;
  /** Set: a retry of that task. */
  readonly retryOf: TaskRecord | null;
  /** As it was when it was first seen to have ended, and when that was, on the suite's own clock. */
  final: TaskView | null;
  finalAt: number;
  /** Somebody may have canceled it. */
  cancelAsked: boolean;
  /** Somebody has removed it, or may have. */
  removal: "no" | "unsure" | "yes";
  /** Retries that were answered, and those that may have made a task. */
  retries: number;
  unsureRetries: number;
  /** GPUs by attempt, as streams have told. */
  readonly placed: Map<number, number>;
}

/** A line of a batch file. */
export interface FileLine {
  readonly customId: string;
  /** One that there is not; undefined: any. */
  readonly model: string | undefined;
  readonly item: Item;
}

/** A batch that is made of a file. */
export interface BatchFile {
  readonly tag: string;
  readonly user: User;
  readonly endpoint: string;
  readonly lines: readonly FileLine[];
  /** What was uploaded. */
  readonly text: string;
  readonly fileId: string;
  readonly id: string;
  cancelAsked: boolean;
}

export class Ledger {
  readonly tasks = new Map<string, TaskRecord>();
  readonly submissions = new Map<string, Submission>();
  readonly files: BatchFile[] = [];
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  /** A submission was answered with 200; later answers must say the same. */
  accepted(submission: Submission, ids: readonly string[], batchId: string | null, replayed: boolean): void {
    const { tag, tasks, items, user } = submission;
    if (tasks !== null) {
      const same = tasks.length === ids.length && tasks.every(({ id }, index) => id === ids[index]);
      const holds = same && batchId === submission.batchId;
      this.#report.check("key", holds, `${tag} was answered with other tasks`, {
        tasks: tasks.map(({ id }) => id),
        ids,
      });
      return;
    }
    const maybeKnown = submission.unanswered || submission.key !== null;
    this.#report.check("key", !replayed || maybeKnown, `${tag} is called a replay, but was never sent before`);
    this.#report.check(
      "kept",
      ids.length === items.length,
      `${tag} has ${items.length} items and got ${ids.length} tasks`,
    );
    submission.batchId = batchId;
    submission.tasks = ids.map((id, index) => this.#add(id, user, items[index]!, submission, null));
  }

  retried(original: TaskRecord, id: string): TaskRecord {
    original.retries++;
    return this.#add(id, original.user, original.item, original.submission, original);
  }

  /** A task that was seen, and nobody was told of: its answer was lost. */
  found(id: string, submission: Submission, item: Item, retryOf: TaskRecord | null): TaskRecord {
    return this.#add(id, submission.user, item, submission, retryOf);
  }

  /** Somebody has seen a whole task. @param askedAt see `Answer.askedAt` */
  observe(view: TaskView, askedAt: number, now: number): void {
    const task = this.tasks.get(view.task_id);
    if (task === undefined) return;
    const isSound = view.attempts.every(({ ended_at }, index) => ended_at !== null || isOpen(view, index));
    this.#report.check("attempts", isSound, `the attempts of ${task.id} are wrong`, view);
    const { final } = task;
    if (final === null) {
      if (!isFinal(view.status)) return;
      task.final = view;
      task.finalAt = now;
      this.#count(view.status);
      return;
    }
    // An answer that was given before the end may come after it.
    const isOld = !isFinal(view.status) && askedAt < task.finalAt;
    const holds = isOld || essence(view) === essence(final);
    this.#report.check("final", holds, `task ${task.id} has changed after its end`, { before: final, after: view });
  }

  /** Somebody was told a status without the rest of the task. */
  observeStatus(task: TaskRecord, status: TaskStatus, askedAt: number): void {
    if (task.final === null || (!isFinal(status) && askedAt < task.finalAt)) return;
    const holds = status === task.final.status;
    this.#report.check(
      "final",
      holds,
      `task ${task.id} was ${task.final.status} and is said to be ${status}`,
      task.final,
    );
  }

  /** Forgets all but what must stay as it is for ever. */
  settle(): Map<string, string> {
    const ends = new Map<string, string>();
    for (const { id, final, removal } of this.tasks.values())
      if (removal === "no" && final) ends.set(id, essence(final));
    this.tasks.clear();
    this.submissions.clear();
    this.files.length = 0;
    return ends;
  }

  #add(id: string, user: User, item: Item, submission: Submission, retryOf: TaskRecord | null): TaskRecord {
    const task: TaskRecord = {
      id,
      user,
      item,
      submission,
      retryOf,
      final: null,
      finalAt: 0,
      cancelAsked: false,
      removal: "no",
      retries: 0,
      unsureRetries: 0,
      placed: new Map(),
    };
    this.#report.check("key", !this.tasks.has(id), `two submissions were answered with task ${id}`);
    this.tasks.set(id, task);
    this.#report.counts.accepted++;
    return task;
  }

  #count(status: TaskStatus): void {
    if (status === "completed" || status === "failed" || status === "canceled") this.#report.counts[status]++;
  }
}

/** Whether it is an attempt that may be going on. */
function isOpen({ attempts, status }: TaskView, index: number): boolean {
  return index === attempts.length - 1 && status === "running";
}

/** What of a task may not change any more once it has ended. Its sentences are others for an admin than for its user. */
export function essence(view: TaskView): string {
  const { status, gpu_id, result, error_code, started_at, finished_at, retry_of, batch_id } = view;
  const attempts = view.attempts.map(({ error: _sentence, ...attempt }) => attempt);
  return JSON.stringify({
    status,
    gpu_id,
    result,
    error_code,
    started_at,
    finished_at,
    attempts,
    retry_of,
    batch_id,
  });
}
