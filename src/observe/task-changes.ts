/**
 * The changes of tasks for those who look on, collected for a moment and told together. Of a task that changes several times within that
 * moment only the last state is told, and of very many tasks only so many as one message holds: the reader is told that it missed some.
 */
import { wallTime } from "../common/clock.ts";
import { shownGpuId, type Task, type TaskStatus } from "../task.ts";
import { TASK_ACCEPTED, TASK_ENDED, TASK_OUTPUT, TASK_REQUEUED, TASK_STARTED, TASK_WITHDRAWN } from "../topics.ts";

/** Milliseconds between two messages. */
const PERIOD = 250;
/** Tasks in one message. */
const MOST = 1000;

/** A task as it is after a change. Times are Unix milliseconds. */
export interface TaskChange {
  readonly id: string;
  readonly user: string;
  readonly team: string | null;
  /** `withdrawn`: it could not be stored, and is as if it had never been. */
  readonly status: TaskStatus | "withdrawn";
  readonly gpuId: number | null;
  readonly model: string | null;
  readonly batchId: string | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  /** When its attempt had its first output; null: it has none yet, or that was told before. */
  readonly firstOutputAt: number | null;
  readonly finishedAt: number | null;
}

/** The changes of tasks in one moment. */
export interface ChangedTasks {
  readonly changes: readonly TaskChange[];
  /** Changes that found no room in the message. */
  readonly leftOut: number;
}

export type TaskReader = (news: ChangedTasks) => void;

export class TaskChanges {
  readonly #readers = new Set<TaskReader>();
  readonly #most: number;
  #pending = new Map<string, TaskChange>();
  #leftOut = 0;
  #timer: NodeJS.Timeout | null = null;
  /** Ends the subscriptions, which exist only while somebody reads. */
  #stop: (() => void) | null = null;

  constructor(most = MOST) {
    this.#most = most;
  }

  /** Tells `reader` of changes until what is returned is called. */
  follow(reader: TaskReader): () => void {
    this.#readers.add(reader);
    this.#stop ??= this.#subscribe();
    return () => {
      this.#readers.delete(reader);
      if (this.#readers.size === 0) this.#end();
    };
  }

  #subscribe(): () => void {
    const note = ({ task }: { readonly task: Readonly<Task> }): void => this.#note(task);
    const ends = [
      TASK_ACCEPTED.subscribe(note),
      TASK_STARTED.subscribe(note),
      TASK_REQUEUED.subscribe(note),
      TASK_ENDED.subscribe(note),
      TASK_WITHDRAWN.subscribe(({ task }) => this.#note(task, { status: "withdrawn" })),
      TASK_OUTPUT.subscribe(({ task, isFirst }) => {
        if (isFirst) this.#note(task, { firstOutputAt: wallTime() });
      }),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  #end(): void {
    this.#stop?.();
    this.#stop = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#pending.clear();
    this.#leftOut = 0;
  }

  #note(task: Readonly<Task>, more: Partial<TaskChange> = {}): void {
    const before = this.#pending.get(task.id);
    if (before === undefined && this.#pending.size >= this.#most) this.#leftOut++;
    else this.#pending.set(task.id, { ...changeOf(task, before), ...more });
    this.#timer ??= setTimeout(() => this.#tell(), PERIOD);
  }

  #tell(): void {
    this.#timer = null;
    const news = { changes: [...this.#pending.values()], leftOut: this.#leftOut };
    this.#pending = new Map();
    this.#leftOut = 0;
    for (const reader of this.#readers) reader(news);
  }
}

/** @param before what is to be told of it already */
function changeOf(task: Readonly<Task>, before: TaskChange | undefined): TaskChange {
  const { id, user, team, status, batchId, model, ranModel, createdAt, startedAt, finishedAt } = task;
  return {
    id,
    user,
    team,
    status,
    gpuId: shownGpuId(task),
    model: ranModel ?? model,
    batchId,
    createdAt,
    startedAt,
    // An attempt that was cut off takes its output with it.
    firstOutputAt: before?.startedAt === startedAt ? (before?.firstOutputAt ?? null) : null,
    finishedAt,
  };
}
