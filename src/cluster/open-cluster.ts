/** What a server of a cluster has instead of GPUs of its own. */
import { hostname } from "node:os";
import { VERSION } from "../common/version.ts";
import { AltLasError } from "../errors.ts";
import type { Config } from "../config/config.ts";
import type { AnyPool } from "../gpu/any-pool.ts";
import type { PoolEvents } from "../gpu/pool.ts";
import type { Logger } from "../log/log.ts";
import { StoreTaken } from "../store/store.ts";
import type { Bus } from "./bus.ts";
import { ClusterPool } from "./cluster-pool.ts";
import { GpuIds } from "./gpu-ids.ts";
import { hostOf, openNats } from "./nats-bus.ts";
import type { ClusterStatus, DatabaseStatus } from "./status.ts";
import { warningsOf } from "./warnings.ts";

export interface Cluster {
  /** Aborted when another server has led since. */
  readonly superseded: AbortSignal;
  openPool(events: PoolEvents): AnyPool;
  /** After `openPool`. @throws {AltLasError} `store_unavailable`: the database cannot be asked */
  status(): Promise<ClusterStatus>;
  close(): Promise<void>;
}

/** @throws {AltLasError} `bad_config`: the broker cannot be used, or what is remembered of the cluster is damaged */
export async function openCluster(config: Config, dataDir: string, log: Logger, given?: Bus): Promise<Cluster> {
  if (config.models.length > 0)
    throw new AltLasError(
      "bad_config",
      "models must stand in the configuration of each machine: a server with cluster.nats has no GPUs of its own.",
    );
  const ids = GpuIds.open(dataDir, await databaseId(config));
  const { nats = "" } = config.cluster;
  const bus = given ?? (await openNats({ url: nats, name: "alt-las server", log }));
  const superseded = new AbortController();
  const isAlone = config.store.url !== undefined;
  const parts = { bus, ids, log, isAlone, superseded: (why: string) => superseded.abort(new StoreTaken(why)) };
  let pool: ClusterPool;
  return {
    superseded: superseded.signal,
    openPool: (events) => (pool = new ClusterPool(parts, events)),
    status: async () => {
      const servers = [{ name: hostname(), version: VERSION, leads: true }];
      const seen = { ...pool.status(), nats: { at: hostOf(nats), isUp: bus.isUp }, servers };
      const whole = { ...seen, database: await databaseStatus(config) };
      return { ...whole, warnings: [...warningsOf(whole)] };
    },
    close: () => bus.close(),
  };
}

/** Servers with one database are one cluster, whichever data directory each has. */
async function databaseId({ store: { url, schema } }: Config): Promise<string | undefined> {
  if (url === undefined) return undefined;
  const { identityOf } = await import("../store/postgres/identity.ts");
  return identityOf(url, schema);
}

async function databaseStatus({ store: { url, schema } }: Config): Promise<DatabaseStatus | null> {
  if (url === undefined) return null;
  const { standbysOf } = await import("../store/postgres/standbys.ts");
  return standbysOf(url, schema);
}
