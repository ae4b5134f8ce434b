/** Sources of the figures that are read at each scrape. */
import type { GpuStatus } from "../../gpu/status.ts";
import type { TaskStatus } from "../../task.ts";

export interface MetricSources {
  readonly gpus: () => readonly GpuStatus[];
  readonly queue: () => {
    /** Tasks waiting. */
    readonly depth: number;
    /** When the oldest of them was submitted, by the server's clock; null: none waits. */
    readonly oldest: number | null;
  };
  /** Whether a task sent now could finish. */
  readonly isReady: () => boolean;
  /** Tasks in the store with a final status. */
  readonly ended: (status: TaskStatus) => Promise<number>;
  /** Webhooks that are neither delivered nor given up; `most`: as many or more. */
  readonly pendingWebhooks: (most: number) => Promise<number>;
  /** Endpoints of webhooks that are paused. */
  readonly pausedEndpoints: () => number;
  /** The server's clock. */
  readonly now: () => number;
  /** Whether it leads its cluster; absent: it is alone. */
  readonly leads?: (() => boolean) | undefined;
  /** Whether users have series. */
  readonly namesUsers: boolean;
}
