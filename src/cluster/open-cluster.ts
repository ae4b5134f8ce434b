/** The cluster that a server has instead of GPUs of its own. */
import { hostname } from "node:os";
import { wallTime } from "../common/clock.ts";
import { VERSION } from "../common/version.ts";
import { AltLasError } from "../errors.ts";
import type { Config } from "../config/config.ts";
import type { AnyPool } from "../gpu/any-pool.ts";
import type { PoolEvents } from "../gpu/pool.ts";
import type { ClusterMember } from "../http/server-parts.ts";
import type { Logger } from "../log/log.ts";
import { type Store, StoreTaken } from "../store/store.ts";
import { ClusterPool } from "./cluster-pool.ts";
import { newToken, TOKEN_SECONDS } from "./credentials.ts";
import { GpuIds } from "./gpu-ids.ts";
import { Joins } from "./joins.ts";
import { fileOfCredentials, signingKey } from "./key-files.ts";
import { hostOf, openNats } from "./nats-bus.ts";
import type { ClusterApi, DatabaseStatus } from "./status.ts";
import { warningsOf } from "./warnings.ts";

export interface Cluster extends ClusterApi {
  /** Aborted when another server has led since. */
  readonly superseded: AbortSignal;
  openPool(events: PoolEvents): AnyPool;
  close(): Promise<void>;
}

export interface ClusterPlace {
  readonly config: Config;
  readonly dataDir: string;
  readonly log: Logger;
  readonly store: Pick<Store, "save" | "idempotency">;
  /** The server's clock. */
  readonly now: () => number;
  /** Absent: there are no other servers. */
  readonly lead?: { readonly member: Pick<ClusterMember, "servers"> } | undefined;
}

/** `status` may be asked from `openPool` on. @throws {AltLasError} `bad_config`: the broker cannot be used, or what is remembered of the cluster is damaged */
export async function openCluster({ config, dataDir, log, store, now, lead }: ClusterPlace): Promise<Cluster> {
  if (config.models.length > 0)
    throw new AltLasError(
      "bad_config",
      "models must stand in the configuration of each machine: a server with cluster.nats has no GPUs of its own.",
    );
  const ids = GpuIds.open(dataDir, await databaseId(config));
  const { nats = "" } = config.cluster;
  const seed = await signingKey(config.cluster.signing_key);
  const credentials = fileOfCredentials(config.cluster.credentials);
  const bus = await openNats({ url: nats, credentials, name: "alt-las server", log });
  const superseded = new AbortController();
  const isAlone = config.store.url !== undefined;
  const parts = { bus, ids, log, isAlone, superseded: (why: string) => superseded.abort(new StoreTaken(why)) };
  const isKnown = (machine: string) => ids.machines.has(machine);
  let pool: ClusterPool;
  return {
    superseded: superseded.signal,
    openPool: (events) => {
      pool = new ClusterPool(parts, events);
      const isPresent = (machine: string) => pool.isPresent(machine);
      if (seed !== null) new Joins({ bus, store, now, seed, log, isPresent, isKnown }).listen();
      return pool;
    },
    status: async () => {
      const servers = (await lead?.member.servers()) ?? [{ name: hostname(), version: VERSION, leads: true }];
      const seen = { ...pool.status(), nats: { at: hostOf(nats), isUp: bus.isUp }, servers };
      const whole = { ...seen, database: await databaseStatus(config) };
      return { ...whole, warnings: [...warningsOf(whole)] };
    },
    invite: async (machine) => {
      if (seed === null) throw new AltLasError("conflict", NO_KEY);
      const at = wallTime();
      return { nats: hostOf(nats), token: await newToken(seed, at, machine), expiresAt: at + TOKEN_SECONDS * 1000 };
    },
    close: () => bus.close(),
  };
}

const NO_KEY =
  "cluster.signing_key is not set, so this server can let no machine in: alt-las cluster init makes a key, and says where it belongs.";

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
