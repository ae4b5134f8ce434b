/** Values read for a scrape, from the parts of the server. */
import type { Config } from "./config/config.ts";
import type { AnyPool } from "./gpu/any-pool.ts";
import { readinessOf, type ReadinessParts } from "./http/readiness.ts";
import type { MetricSources } from "./observe/metrics/sources.ts";
import { placedOn } from "./scheduler/placement.ts";
import type { Store } from "./store/store.ts";
import type { Timekeeper } from "./store/timekeeper.ts";
import type { TaskStatus } from "./task.ts";
import type { TaskBook } from "./tasks/task-book.ts";
import type { Webhooks } from "./webhooks/webhooks.ts";

interface Sources extends ReadinessParts {
  readonly tasks: TaskBook;
  readonly pool: AnyPool;
  readonly webhooks: Webhooks;
}

interface Ground {
  readonly config: Config;
  readonly store: Store;
  readonly time: Timekeeper;
}

export function metricSources({ config, store, time }: Ground, parts: Sources): MetricSources {
  const { tasks, pool, webhooks } = parts;
  const ended = async (status: TaskStatus): Promise<number> =>
    (await store.tasks.list({ user: undefined, status, limit: 0, offset: 0 }, { maxCharacters: 0, counted: true }))
      .total;
  return {
    gpus: () => pool.list((gpuId) => placedOn(tasks.scheduler.instances, gpuId)),
    queue: () => ({ depth: tasks.scheduler.queueSize, oldest: tasks.scheduler.oldestWaiting }),
    isReady: () => !tasks.scheduler.draining && readinessOf(parts).ready,
    ended,
    pendingWebhooks: (most) => store.outbox.countPending(most),
    pausedEndpoints: () => webhooks.pausedEndpoints,
    now: () => time.clock.now(),
    leads: parts.member?.leads,
    namesUsers: !config.metrics.public,
  };
}
