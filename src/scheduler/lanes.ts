/** The queues of one caller for what asks the same. */
import { type Demand } from "./demand.ts";
import { type SizedQueue } from "./queue.ts";

/** One queue for each priority, the highest first. */
export type Lane = readonly SizedQueue[];

/** The waiting tasks of one caller that ask the same of a model. */
export interface Queues {
  readonly demand: Demand;
  /** For any GPU. */
  readonly anywhere: Lane;
  /** For the GPUs of their mapped task_type. */
  readonly byType: Map<string, Lane>;
  /** For one GPU and no other. */
  readonly byGpu: Map<number, Lane>;
  /** In all of these. */
  entries: number;
}

/** The lanes of tasks that are not for one GPU alone. */
export function unbound({ anywhere, byType }: Queues): Lane[] {
  return [anywhere, ...byType.values()];
}
