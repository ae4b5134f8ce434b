/** The waiting tasks of one caller that ask the same of a model, in lanes by the GPUs that they may go to. */
import { PRIORITIES, type Task } from "../task.ts";
import type { Demand } from "./demand.ts";
import { type Entry, firstOf, SizedQueue, type Sizes } from "./queue.ts";

/** One queue for each priority, the highest first. */
export type Lane = readonly SizedQueue[];

export class Lanes {
  readonly demand: Demand;
  /** For any GPU. */
  readonly anywhere: Lane;
  /** For the GPUs of their mapped task_type. */
  readonly byType = new Map<string, Lane>();
  /** For one GPU and no other. */
  readonly byGpu = new Map<number, Lane>();
  /** In all of these. */
  entries = 0;
  readonly #sizes: Sizes;

  constructor(demand: Demand, sizes: Sizes) {
    this.demand = demand;
    this.#sizes = sizes;
    this.anywhere = this.#newLane();
  }

  /** Those of tasks that are not for one GPU alone. */
  get unbound(): Lane[] {
    return [this.anywhere, ...this.byType.values()];
  }

  /** undefined: nothing has waited there yet. @param mapped the task types that have GPUs of their own */
  laneOf(entry: Entry, mapped: ReadonlySet<string>): Lane | undefined {
    const { boundTo, taskType } = firstOf(entry);
    if (boundTo !== null) return this.byGpu.get(boundTo);
    return isOfType(entry) && mapped.has(taskType) ? this.byType.get(taskType) : this.anywhere;
  }

  /** Makes the lane if there is none: only for an entry that waits, or is about to. @param mapped as of `laneOf` */
  queueOf(entry: Entry, mapped: ReadonlySet<string>): SizedQueue {
    const lane = this.laneOf(entry, mapped) ?? this.#makeLaneFor(firstOf(entry));
    return lane[PRIORITIES.indexOf(firstOf(entry).priority)]!;
  }

  /** Other task types have GPUs of their own from now on: their tasks go to other lanes, at the places that they had. */
  remap(before: ReadonlySet<string>, now: ReadonlySet<string>): void {
    const waiting = this.unbound.flatMap((lane) => lane.flatMap((queue) => [...queue].filter(isOfType)));
    const moving = waiting.filter((entry) => before.has(firstOf(entry).taskType) !== now.has(firstOf(entry).taskType));
    for (const entry of moving) this.queueOf(entry, before).remove(entry);
    for (const type of this.byType.keys()) if (!now.has(type)) this.byType.delete(type);
    for (const entry of moving) this.queueOf(entry, now).insert(entry);
  }

  #makeLaneFor({ boundTo, taskType }: Task): Lane {
    const lane = this.#newLane();
    if (boundTo !== null) this.byGpu.set(boundTo, lane);
    else this.byType.set(taskType, lane);
    return lane;
  }

  #newLane(): Lane {
    return PRIORITIES.map(() => new SizedQueue(this.#sizes));
  }
}

/** Whether the type of its tasks says where they may go, if it is mapped. */
function isOfType(entry: Entry): boolean {
  const { boundTo, strategy } = firstOf(entry);
  return boundTo === null && strategy === "task_specific";
}
