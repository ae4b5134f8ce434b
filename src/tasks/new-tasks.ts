/** Makes the tasks and the batch of a submission, and the answer to it. */
import { randomUUID, randomUUIDv7 } from "node:crypto";
import type { Clock } from "../common/clock.ts";
import type { Grouping } from "../scheduler/planner.ts";
import {
  type Batch,
  newTask,
  shownGpuId,
  type Task,
  TASK_EVENTS,
  type TaskIdentity,
  type TaskInput,
  type TaskSettings,
  type Webhook,
} from "../task.ts";
import type { NoteRecord } from "../store/tasks.ts";
import { strictest, type Texts } from "../texts.ts";
import type { Chunk } from "./feed-api.ts";
import type { BatchStatus, Submission, SubmitOptions } from "./task-api.ts";

/** As of `TaskBookParts`. */
interface NewTasksParts {
  readonly clock: Clock;
  readonly timeout: number | null;
  readonly modelMeantBy: (asked: string) => string;
  readonly modelOfTaskType: (type: string) => string | null;
  readonly textsOf?: (of: Pick<Task, "user" | "team">) => Texts;
}

export class NewTasks {
  readonly #parts: NewTasksParts;
  /** The highest `seq` that a task has. */
  lastSeq = 0;

  constructor(parts: NewTasksParts) {
    this.#parts = parts;
  }

  /** A task as `make` makes it, that is to be forgotten again. */
  imagine(input: TaskInput, options: SubmitOptions): Task {
    const { lastSeq } = this;
    const [task] = this.make([input], options, null);
    this.lastSeq = lastSeq;
    return task!;
  }

  make(
    inputs: readonly TaskInput[],
    { user, keyName, team, strategy, pinnedGpuId, batch, webhook, endsWithClient = false }: SubmitOptions,
    retryOf: string | null,
  ): Task[] {
    const shared = {
      user,
      keyName,
      team,
      strategy,
      pinnedGpuId,
      batchId: batch === null ? null : randomUUID(),
      wholeBatch: batch !== null && !batch.split,
      webhook: webhookOfTasks(webhook),
      endsWithClient,
      retryOf,
      ...this.#now(),
    };
    return inputs.map((input) => this.#made(input, shared, ++this.lastSeq));
  }

  /** Tasks of lines of a batch, with the `seq`s that were kept for them. */
  makeLines({ tasks, keyName, deadline }: Chunk, { id, user, team, firstSeq }: Batch): Task[] {
    const now = this.#now();
    const shared = {
      user,
      keyName,
      team,
      batchId: id,
      wholeBatch: false,
      webhook: null,
      endsWithClient: false,
      retryOf: null,
      ...now,
    };
    const timeoutSeconds = Math.max(1, deadline - now.createdClock) / 1000;
    return tasks.map(({ index, input, strategy, pinnedGpuId }) =>
      this.#made({ ...input, timeoutSeconds }, { ...shared, strategy, pinnedGpuId }, firstSeq + index),
    );
  }

  /** Keeps a range of `seq`s for tasks to come. @returns the first */
  reserve(count: number): number {
    const first = this.lastSeq + 1;
    this.lastSeq += count;
    return first;
  }

  #now(): Pick<Shared, "createdAt" | "createdClock"> {
    const { clock } = this.#parts;
    const now = clock.now();
    return { createdAt: now + clock.ahead, createdClock: now };
  }

  /** See `TaskApi.modelOf`. */
  modelOf({ model, taskType, anyModel = false }: Pick<TaskInput, "model" | "taskType" | "anyModel">): string | null {
    const { modelMeantBy, modelOfTaskType } = this.#parts;
    return model !== null ? modelMeantBy(model) : anyModel ? null : modelOfTaskType(taskType);
  }

  #made(input: TaskInput, shared: Shared, seq: number): Task {
    const { request, taskType, priority, timeoutSeconds } = input;
    const { timeout, textsOf = kept } = this.#parts;
    return newTask({
      ...shared,
      texts: input.texts === undefined ? textsOf(shared) : strictest(textsOf(shared), input.texts),
      request,
      taskType,
      priority,
      timeoutSeconds: timeoutSeconds ?? timeout,
      model: this.modelOf(input),
      // Ids that grow with time land at the end of the database's index; random ones would each touch another page.
      id: randomUUIDv7(),
      seq,
    });
  }
}

function kept(): Texts {
  return "keep";
}

/** Properties that tasks that are submitted together have in common. */
type Shared = Omit<TaskIdentity, keyof TaskSettings | "id" | "seq" | "texts">;

/** The webhook of single tasks. The batch itself announces its end. */
function webhookOfTasks(webhook: Webhook | null): Webhook | null {
  const events = webhook?.events.filter((event) => TASK_EVENTS.includes(event as (typeof TASK_EVENTS)[number])) ?? [];
  return webhook === null || events.length === 0 ? null : { url: webhook.url, events };
}

export function newBatch(tasks: readonly Task[], webhook: Webhook | null): Batch {
  const { batchId, user, team, seq, wholeBatch, createdAt } = tasks[0]!;
  return {
    id: batchId!,
    user,
    team,
    firstSeq: seq,
    size: tasks.length,
    whole: wholeBatch,
    webhook,
    createdAt,
    finishedAt: null,
    lines: null,
  };
}

/** The notes of new tasks, as far as they are to be stored. @param tasks in the order of `inputs` */
export function notesOf(inputs: readonly TaskInput[], tasks: readonly Task[]): NoteRecord[] {
  const notes: NoteRecord[] = [];
  for (let index = 0; index < inputs.length; index++) {
    const { note } = inputs[index]!;
    const { seq, texts } = tasks[index]!;
    if (note !== undefined && texts !== "never") notes.push({ kind: "note", seq, note });
  }
  return notes;
}

/** The answer to a submission. */
export function submissionOf(tasks: readonly Task[], grouping: Grouping): Submission {
  const placed = tasks.map((task) => ({
    id: task.id,
    gpuId: shownGpuId(task),
    status: task.status as "running" | "queued",
  }));
  return { batchId: tasks[0]!.batchId, batchStatus: batchStatusOf(placed, grouping), tasks: placed, replayed: false };
}

/** The batch statuses of the contract's section 1.3. */
function batchStatusOf(tasks: Submission["tasks"], grouping: Grouping): BatchStatus {
  if (tasks.every((task) => task.status === "running")) return "running";
  if (tasks.every((task) => task.gpuId !== null)) return "all_distributed";
  if (tasks.some((task) => task.gpuId !== null)) return "mixed";
  return grouping === "whole" ? "queued" : "all_queued";
}
