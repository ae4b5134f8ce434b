/** The cluster that a server has instead of GPUs of its own. */
import { hostname } from "node:os";
import { shown } from "../common/validation.ts";
import { wallTime } from "../common/clock.ts";
import { VERSION } from "../common/version.ts";
import { AltLasError } from "../errors.ts";
import { type Config, natsUrls } from "../config/config.ts";
import type { AnyPool } from "../gpu/any-pool.ts";
import type { PoolEvents } from "../gpu/pool.ts";
import type { ClusterMember } from "../http/server-parts.ts";
import type { Logger } from "../log/log.ts";
import { type Store, StoreTaken } from "../store/store.ts";
import type { Bus } from "./bus.ts";
import { ClusterPool } from "./cluster-pool.ts";
import { newToken, TOKEN_SECONDS } from "./credentials.ts";
import { GpuIds } from "./gpu-ids.ts";
import { Joins } from "./joins.ts";
import { fileOfCredentials, operatorKeys, signingKey } from "./key-files.ts";
import { areShared } from "./hearing.ts";
import { openNats } from "./nats-bus.ts";
import { Revocations } from "./revocations.ts";
import type { ClusterApi, ClusterStatus, DatabaseStatus, Invitation, LockedOut } from "./status.ts";
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
  readonly lead?: ClusterLead | undefined;
}

/** The parts of a server of several that belong to no start of it. */
export interface ClusterLead {
  readonly member: Pick<ClusterMember, "servers" | "share" | "leads">;
  /** It stays open. */
  readonly bus: Bus;
}

/** The bus that a configuration names. @throws {AltLasError} `bad_config`: it cannot be used */
export function openBus({ cluster }: Pick<Config, "cluster">, log: Logger): Promise<Bus> {
  const credentials = fileOfCredentials(cluster.credentials);
  return openNats({ urls: natsUrls(cluster.nats ?? []), credentials, name: "alt-las server", log });
}

/** `status` may be asked from `openPool` on. @throws {AltLasError} `bad_config`: the broker cannot be used, or what is remembered of the cluster is damaged */
export async function openCluster(place: ClusterPlace): Promise<Cluster> {
  const { config, dataDir, log } = place;
  if (config.models.length > 0)
    throw new AltLasError(
      "bad_config",
      "models must stand in the configuration of each machine: a server with cluster.nats has no GPUs of its own.",
    );
  const ids = GpuIds.open(dataDir, await databaseId(config));
  const urls = natsUrls(config.cluster.nats ?? []);
  const seed = await signingKey(config.cluster.signing_key);
  const keys = operatorKeys(config.cluster.operator_key);
  const bus = place.lead?.bus ?? (await openBus(config, log));
  const before = ids.leadsOver(bus.at);
  if (before !== undefined && !areShared(before, bus.at))
    log.warn(
      { before, now: bus.at },
      "cluster.nats names other NATS servers than those by which this cluster was led before",
    );
  const superseded = new AbortController();
  const share = async (): Promise<void> => {
    superseded.signal.throwIfAborted();
    await place.lead?.member.share();
  };
  const revocations =
    seed === null || keys === null ? null : new Revocations({ urls, bus, ids, seed, keys, log, share });
  return new OpenCluster(place, { ids, seed, bus, revocations, superseded, share });
}

interface ClusterParts {
  readonly ids: GpuIds;
  /** Signs machines; null: this server lets none in. */
  readonly seed: string | null;
  readonly bus: Bus;
  /** null: this server locks none out. */
  readonly revocations: Revocations | null;
  /** Aborted when another server has led since. */
  readonly superseded: AbortController;
  /** Stores what the next server to lead has to know. @throws {AltLasError} also where that leads already */
  share(): Promise<void>;
}

class OpenCluster implements Cluster {
  readonly #place: ClusterPlace;
  readonly #parts: ClusterParts;
  #pool!: ClusterPool;
  #endJoins = (): void => {};

  constructor(place: ClusterPlace, parts: ClusterParts) {
    this.#place = place;
    this.#parts = parts;
  }

  get superseded(): AbortSignal {
    return this.#parts.superseded.signal;
  }

  openPool(events: PoolEvents): AnyPool {
    const { config, log, store, now, lead } = this.#place;
    const { bus, ids, seed, superseded: end, share } = this.#parts;
    const superseded = (why: string): void => {
      if (!end.signal.aborted) log.error(why);
      end.abort(new StoreTaken(why));
    };
    const isAlone = config.store.url !== undefined;
    const isSure = (): boolean => lead?.member.leads() ?? true;
    this.#pool = new ClusterPool({ bus, ids, log, isAlone, isSure, superseded, share }, events);
    const isPresent = (machine: string): Promise<boolean> => this.#pool.isPresent(machine);
    const remembered = (hasRevoked: boolean): Promise<void> => this.#remembered(hasRevoked);
    if (seed !== null) this.#endJoins = new Joins({ bus, store, now, seed, log, ids, isPresent, remembered }).listen();
    return this.#pool;
  }

  /** The next server to lead knows the machine, too. */
  async #remembered(hasRevoked: boolean): Promise<void> {
    const { revocations, share } = this.#parts;
    // Not behind the other: this goes on until it is done, also where that fails.
    const told = hasRevoked ? revocations?.tell() : undefined;
    await share();
    await told;
  }

  async status(): Promise<ClusterStatus> {
    const { config, lead } = this.#place;
    const { bus, revocations } = this.#parts;
    const servers = (await lead?.member.servers()) ?? [{ name: hostname(), version: VERSION, leads: true }];
    const seen = { ...this.#pool.status(), nats: natsStatus(bus, revocations), servers };
    const whole = { ...seen, database: await databaseStatus(config) };
    return { ...whole, warnings: [...warningsOf(whole)] };
  }

  async invite(machine?: string): Promise<Invitation> {
    const { seed, bus } = this.#parts;
    if (seed === null) throw new AltLasError("conflict", NO_KEY);
    const at = wallTime();
    return { nats: bus.at, token: await newToken(seed, at, machine), expiresAt: at + TOKEN_SECONDS * 1000 };
  }

  async lockOut(machine: string, by: string): Promise<LockedOut> {
    const { ids, revocations } = this.#parts;
    if (revocations === null) throw new AltLasError("conflict", NO_OPERATOR);
    if (!ids.knows(machine)) throw new AltLasError("not_found", `The cluster knows no machine ${shown(machine)}.`);
    const lock = ids.lockOut(machine, by);
    this.#pool.lockOut(lock);
    await this.#remembered(lock.key !== undefined);
    if (lock.key === undefined) return { credentials: "unknown" };
    return { credentials: revocations.isTold ? "revoked" : "pending" };
  }

  async close(): Promise<void> {
    const { revocations, bus } = this.#parts;
    revocations?.close();
    this.#endJoins();
    if (bus !== this.#place.lead?.bus) await bus.close();
  }
}

function natsStatus(bus: Bus, revocations: Revocations | null): ClusterStatus["nats"] {
  const seen = { at: bus.at, isUp: bus.isUp };
  return revocations === null ? seen : { ...seen, knowsLockouts: revocations.isTold };
}

const NO_OPERATOR =
  "cluster.operator_key is not set, so this server can lock no machine out. Where the NATS servers have a list of users, take the machine out of that.";
const NO_KEY =
  "cluster.signing_key is not set, so this server can let no machine in: alt-las cluster init makes a key, and says where it belongs.";

/** Servers with one database are one cluster, whichever data directory each has. */
export async function databaseId({ store: { url, schema } }: Config): Promise<string | undefined> {
  if (url === undefined) return undefined;
  const { identityOf } = await import("../store/postgres/identity.ts");
  return identityOf(url, schema);
}

async function databaseStatus({ store: { url, schema } }: Config): Promise<DatabaseStatus | null> {
  if (url === undefined) return null;
  const { standbysOf } = await import("../store/postgres/standbys.ts");
  return standbysOf(url, schema);
}
