/** What a server of a cluster has instead of GPUs of its own. */
import { AltLasError } from "../errors.ts";
import type { Config } from "../config/config.ts";
import type { AnyPool } from "../gpu/any-pool.ts";
import type { PoolEvents } from "../gpu/pool.ts";
import type { Logger } from "../log/log.ts";
import { StoreTaken } from "../store/store.ts";
import type { Bus } from "./bus.ts";
import { ClusterPool } from "./cluster-pool.ts";
import { GpuIds } from "./gpu-ids.ts";
import { openNats } from "./nats-bus.ts";

export interface Cluster {
  /** Aborted when another server has led since. */
  readonly superseded: AbortSignal;
  openPool(events: PoolEvents): AnyPool;
  close(): Promise<void>;
}

/** @throws {AltLasError} `bad_config`: the broker cannot be used, or what is remembered of the cluster is damaged */
export async function openCluster(config: Config, dataDir: string, log: Logger, given?: Bus): Promise<Cluster> {
  if (config.models.length > 0)
    throw new AltLasError(
      "bad_config",
      "models must stand in the configuration of each machine: a server with cluster.nats has no GPUs of its own.",
    );
  const ids = GpuIds.open(dataDir);
  const { nats = "" } = config.cluster;
  const bus = given ?? (await openNats({ url: nats, name: "alt-las server", log }));
  const superseded = new AbortController();
  return {
    superseded: superseded.signal,
    openPool: (events) =>
      new ClusterPool(
        {
          bus,
          ids,
          log,
          isAlone: config.store.url !== undefined,
          superseded: (why) => superseded.abort(new StoreTaken(why)),
        },
        events,
      ),
    close: () => bus.close(),
  };
}
