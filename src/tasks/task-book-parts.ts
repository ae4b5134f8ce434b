/** The parts that the task book works with. */
import type { Logger } from "pino";
import type { Clock } from "../common/clock.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import type { Adopted } from "../gpu/any-pool.ts";
import type { Output } from "../output.ts";
import type { Request } from "../request.ts";
import type { SchedulerSettings } from "../scheduler/effects.ts";
import type { Delivery } from "../store/outbox.ts";
import type { Store } from "../store/store.ts";
import type { BatchState } from "../store/tasks.ts";
import type { RunSink, Task } from "../task.ts";
import type { Texts } from "../texts.ts";
import type { WaitingRequestsParts } from "./requests.ts";
import type { Machines } from "./subscribers.ts";

/** The surroundings of the task book. */
export interface TaskBookParts {
  readonly store: Store;
  readonly log: Logger;
  readonly settings: SchedulerSettings;
  readonly clock: Clock;
  /** Seconds for tasks that name no timeout; null: any time. */
  readonly timeout: number | null;
  /** Seconds that a worker is given to stop a task. */
  readonly cancelTimeout: number;
  /** Hands a task to a GPU's worker, which tells the sink; its request may still be on its way from the store. */
  readonly run: (instance: InstanceRef, task: Task, request: Request | Promise<Request>, sink: RunSink) => Output;
  /** A task that ran under an earlier server goes on where it runs; null: it runs nowhere. Absent: none outlives a server. */
  readonly adopt?: ((task: Task, sink: RunSink) => Adopted | null) | undefined;
  /** The machines that have the output of tasks while they run. Absent: all of it is here in any case. */
  readonly machines?: (() => Machines) | undefined;
  /** Bytes and milliseconds: see `WaitingRequestsParts`. */
  readonly requests?: Pick<WaitingRequestsParts, "budget" | "pause">;
  /** Bytes of results that are not on disk, above which nothing starts; see `UnsavedResultsParts`. */
  readonly unsaved?: number;
  /** The name of the model that a request calls so; one that calls none stays as it is, and is refused by that. */
  readonly modelMeantBy: (asked: string) => string;
  /** The model that tasks of a type mean when they name none; null: any. */
  readonly modelOfTaskType: (type: string) => string | null;
  /** How long the texts of the tasks of a user in a team may be stored; absent: as long as the tasks. */
  readonly textsOf?: (of: Pick<Task, "user" | "team">) => Texts;
  /** Refuses new tasks whose texts the memory has no room for; absent: it has for any. */
  readonly refuseTexts?: (tasks: readonly Task[]) => void;
  /** Has a GPU's worker stop a task. */
  readonly cancel: (gpuId: number, task: Task) => void;
  /** Loads or unloads the model of an instance. They may tell the scheduler of it at once. */
  readonly load: (instance: InstanceRef) => void;
  readonly unload: (instance: InstanceRef, why: string) => void;
  readonly webhooks: {
    /** The deliveries that announce a task's present state. */
    readonly ofTask: (task: Task) => readonly Delivery[];
    readonly ofBatch: (state: BatchState) => readonly Delivery[];
    /** New deliveries are stored. */
    readonly wake: () => void;
  };
}
