/**
 * A server of a cluster that may have several: with its tasks on PostgreSQL, and the GPUs of machines that a NATS server leads to. It leads when
 * nobody else does. Else it stands by: it listens, answers what it can by itself, passes the rest on, and leads when the one before is gone.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { keepFirstKey } from "./auth/first-key.ts";
import { Kept } from "./auth/kept.ts";
import { credentialsOf } from "./auth/open-credentials.ts";
import type { Bus } from "./cluster/bus.ts";
import { CLUSTER_FILE, natsIn } from "./cluster/gpu-ids.ts";
import { Hearing } from "./cluster/hearing.ts";
import { databaseId, openBus } from "./cluster/open-cluster.ts";
import { ownAddress } from "./cluster/own-address.ts";
import { checkOwnCertificate } from "./cluster/own-certificate.ts";
import { Role, type Todo } from "./cluster/role.ts";
import { SharedFiles } from "./cluster/shared-files.ts";
import { TextReader } from "./cluster/text-reader.ts";
import { steadyTime } from "./common/clock.ts";
import { makeDataDir } from "./common/data-folder.ts";
import { believeAuthority } from "./common/own-authority.ts";
import { VERSION } from "./common/version.ts";
import { type Config, LiveSettings, type ReloadReport } from "./config/config.ts";
import { AltLasError, messageOf } from "./errors.ts";
import { close, handOn, listen, type Listening } from "./http/listen.ts";
import { followLogLevel } from "./http/server.ts";
import { createStandby, type StandbyServer } from "./http/standby/server.ts";
import { readTls } from "./http/tls.ts";
import { type Logger, setLevel } from "./log/log.ts";
import { type Lead, type RunningServer, startServer } from "./main.ts";
import { lockDataDir } from "./store/data-dir-lock.ts";
import type { FileLock } from "./store/file-lock.ts";
import { EndedTasks } from "./store/postgres/ended-tasks.ts";
import { LOOK, LOOKS } from "./store/postgres/lease.ts";
import { Members } from "./store/postgres/members.ts";
import { PostgresStore } from "./store/postgres/postgres.ts";
import { StoreTaken } from "./store/store.ts";

/** Milliseconds after which a leader that has not renewed its lease answers nothing any more: less than the lease lasts. */
const SURE = 2000;
/** Looks at the lease after which its holder is silent for that reason, if it is there at all. */
const SILENT = Math.ceil((SURE + LOOK) / LOOK);
type App = Parameters<NonNullable<Lead["listen"]>>[0];

/** Looks between two signs of life. */
const BEATS = 4;
/** Milliseconds until a server that could not lead tries it again. */
const AGAIN = 1000;

export interface MemberStart {
  readonly config: Config;
  readonly dataDir: string;
  readonly log: Logger;
  /** Reads the configuration again. */
  readonly read: () => Config;
}

/**
 * Starts a server that leads, or stands by.
 * @throws {AltLasError} as `startServer`
 */
export async function startMember(start: MemberStart): Promise<RunningServer> {
  makeDataDir(start.dataDir);
  believeAuthority(start.config.tls.ca);
  const member = new ClusterServer(start);
  return member.start();
}

/** The server that stands by: until it leads, and then for connections that were open before. */
interface Standby extends StandbyServer {
  readonly listening: Listening;
  readonly live: LiveSettings;
  readonly ended: EndedTasks;
  /** Whether its address is the leading app's. */
  isOver: boolean;
}

class ClusterServer {
  readonly #start: MemberStart;
  readonly #id = randomUUID();
  readonly #secret = randomBytes(32).toString("hex");
  readonly #members: Members;
  readonly #role = new Role({ lasts: LOOKS, silent: SILENT });
  readonly #lost = new AbortController();
  readonly #stopping = new AbortController();
  /** Open until the end; null: not yet. */
  #bus: Bus | null = null;
  /** null: it leads, or no other server led when it started. */
  #hearing: Hearing | null = null;
  #standby: Standby | null = null;
  /** Prepared for the time when it leads; null: it does, or begins to. */
  #next: PostgresStore | null = null;
  /** null: it does not lead. */
  #leading: RunningServer | null = null;
  /** Of the data directory; undefined: the store has it. */
  #lock: FileLock | undefined;
  /** Where others reach it. */
  #address = "";
  #live: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | null = null;
  /** Called when it ends. */
  readonly #end: (() => void | Promise<void>)[] = [];

  constructor(start: MemberStart) {
    this.#start = start;
    const { url, schema } = start.config.store;
    const self = { id: this.#id, secret: this.#secret, version: VERSION, host: hostname(), process: process.pid };
    this.#members = new Members({ url: url!, schema, self: { ...self, dataDir: start.dataDir } });
  }

  async start(): Promise<RunningServer> {
    try {
      const { config, log } = this.#start;
      // First of all: a server without it could not lead.
      this.#bus = await openBus(config, log);
      const listening = (await this.#leadAtOnce()) ?? (await this.#standBy());
      this.#address = ownAddress(config, listening.addresses);
      await this.#members.beat(this.#address);
      checkOwnCertificate(() => readTls(config.server.tls), log);
      this.#live = this.#goOn();
      return this.#running(listening);
    } catch (error) {
      await this.#leading?.stop();
      await this.#release();
      throw error;
    }
  }

  /** null: another server leads. */
  async #leadAtOnce(): Promise<Listening | null> {
    const todo = this.#role.looked(await this.#members.look());
    return todo.do === "lead" && (await this.#lead(todo.stale)) ? this.#leading : null;
  }

  async #standBy(): Promise<Listening> {
    const { config, dataDir, log, read } = this.#start;
    this.#lock = lockDataDir(dataDir);
    const cluster = (await databaseId(config))!;
    this.#hearing = await this.#listenToLeader(cluster);
    const live = new LiveSettings({ config, read, dataDir, log });
    const { url, schema } = config.store;
    const ended = new EndedTasks({ url: url!, schema, name: `alt-las server ${this.#id}` });
    const credentials = await credentialsOf({ config, dataDir, log, standsBy: true })();
    const endWatch = credentials.watch();
    this.#end.push(async () => {
      await endWatch();
      credentials.close();
    });
    const { StandbyMetrics } = await import("./observe/metrics/leading.ts");
    const metrics = new StandbyMetrics();
    this.#end.push(() => metrics.stop());
    const texts = new TextReader({ bus: this.#bus!, cluster });
    this.#end.push(() => texts.close());
    const standby = createStandby({
      config,
      live,
      log,
      credentials,
      version: VERSION,
      metrics: () => metrics.scrape(),
      leader: () => (this.#leading === null ? this.#role.leader : this.#self),
      seesDatabase: () => this.#role.seesDatabase,
      ended,
      texts,
    });
    live.use(usersOf(standby, log));
    const listening = await listen(standby.app, config.server, log, true);
    this.#standby = { ...standby, listening, live, ended, isOver: false };
    this.#prepare();
    log.info("another server leads the cluster: this one passes requests on to it, and stands by");
    return listening;
  }

  /** @throws {AltLasError} `conflict`: it cannot be heard, as it uses other NATS servers */
  async #listenToLeader(cluster: string): Promise<Hearing> {
    const { log } = this.#start;
    const leadersNats = async (): Promise<string | null> => natsIn(await this.#members.sharedFile(CLUSTER_FILE));
    const hearing = new Hearing({ bus: this.#bus!, cluster, log, leadersNats });
    if (this.#role.leader !== null) await hearing.check(this.#role.leader);
    return hearing;
  }

  get #self() {
    return { id: this.#id, url: this.#address, secret: this.#secret };
  }

  #running(listening: Listening): RunningServer {
    const nothing = { devices: [], models: [], quarantinedTo: null, driverNotes: [], upgrade: null };
    const noKey = { firstKey: null, absentCredentials: null };
    return {
      ...(this.#leading ?? { ...listening, ...nothing, ...noKey, standsBy: true }),
      lost: this.#lost.signal,
      reload: () => this.#reload(),
      stop: () => this.#stop(),
    };
  }

  #reload(): ReloadReport {
    return this.#leading?.reload() ?? this.#standby!.live.reload();
  }

  // --- looking, and leading ----------------------------------------------------------------------------------------

  /** Looks at the lease while it stands by, and says all the time that it is there. */
  async #goOn(): Promise<void> {
    let asked = steadyTime();
    for (let looks = 1; !this.#stopping.signal.aborted; looks++) {
      const begun = steadyTime();
      // From question to question: the answers are no part of the time that a lease lasts.
      const until = Math.max(0, Math.ceil(asked + LOOK - begun));
      await pause(until, undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (this.#stopping.signal.aborted) return;
      asked = steadyTime();
      try {
        if (this.#leading === null) await this.#follow(this.#role.looked(await this.#members.look()));
        if (looks % BEATS === 0) await this.#members.beat(this.#address);
      } catch (error) {
        this.#role.failed(Math.round((steadyTime() - begun) / LOOK));
        this.#standby?.leaderChanged();
        this.#start.log.debug({ err: error }, "the servers of the cluster cannot be looked up");
      }
    }
  }

  async #follow(todo: Todo): Promise<void> {
    this.#standby?.leaderChanged();
    if (todo.do === "wait") this.#hearing?.looked(todo.leader);
    if (todo.do === "wait" || this.#stopping.signal.aborted || this.#hearing?.mayLead() === false) return;
    const { log } = this.#start;
    try {
      log.info("no server leads the cluster: this one begins to lead");
      await this.#lead(todo.stale);
    } catch (error) {
      log.error({ err: error }, `this server cannot lead the cluster: ${messageOf(error)}`);
      await pause(AGAIN, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  /** @returns false: another server was faster @throws {AltLasError} it cannot lead */
  async #lead(stale: string | null): Promise<boolean> {
    // The store takes it.
    this.#unlock();
    const store = this.#next ?? this.#newStore();
    this.#next = null;
    try {
      if ((await isTaken(store, stale)) && !this.#stopping.signal.aborted) {
        this.#leads(await this.#serve(store));
        return true;
      }
    } catch (error) {
      if (this.#standby?.isOver === true) this.#lost.abort(new StoreTaken(messageOf(error)));
      await this.#stay(store);
      throw error;
    }
    await this.#stay(store);
    return false;
  }

  /** It goes on to stand by, if it does. */
  async #stay(store: PostgresStore): Promise<void> {
    this.#role.refused();
    await store.close();
    this.#lock = lockDataDir(this.#start.dataDir);
    if (this.#standby === null) this.#unlock();
    else this.#prepare();
  }

  /** While nobody waits for it. */
  #prepare(): void {
    this.#next = this.#newStore();
    this.#next.prepare();
  }

  #newStore(): PostgresStore {
    const { config, dataDir, log } = this.#start;
    const { url, schema } = config.store;
    return new PostgresStore({ url: url!, schema, dataDir, log, member: { id: this.#id, stale: null } });
  }

  async #serve(store: PostgresStore): Promise<RunningServer> {
    const { config, dataDir, log, read } = this.#start;
    const files = new SharedFiles(store, dataDir, log);
    await files.pull();
    const kept = await Kept.open(store, log);
    const leads = (): boolean => steadyTime() - store.renewed < SURE;
    const member = { secret: this.#secret, leads, kept, servers: () => this.#servers(), share: () => files.share() };
    const standby = this.#standby;
    const take = standby && ((app: App) => this.#takeOver(standby, app));
    const lead = { store, member, listen: take, bus: this.#bus! };
    const server = await startServer(config, dataDir, log, undefined, read, lead);
    files.start();
    this.#end.push(() => files.stop());
    return server;
  }

  async #servers() {
    const all = await this.#members.list();
    return all.map(({ host, version, leads, url, seenBefore }) => {
      return { name: host, version, leads, address: url, heartbeatAge: Math.max(0, seenBefore) / 1000 };
    });
  }

  /** The connections that come from now on are the leader's. */
  async #takeOver(standby: Standby, leading: App): Promise<Listening> {
    await handOn(standby.app, leading);
    standby.isOver = true;
    standby.retire();
    return standby.listening;
  }

  #leads(server: RunningServer): void {
    const { log, dataDir } = this.#start;
    this.#leading = server;
    this.#standby?.leaderChanged();
    this.#hearing?.close();
    this.#hearing = null;
    server.lost.addEventListener("abort", () => this.#lost.abort(server.lost.reason));
    if (server.lost.aborted) this.#lost.abort(server.lost.reason);
    if (this.#standby === null) return;
    log.info("this server leads the cluster");
    const file = server.firstKey === null ? null : keepFirstKey(dataDir, server.firstKey);
    if (file !== null) log.warn(`a key for the user admin was made: it is in ${file}`);
  }

  // --- its end -------------------------------------------------------------------------------------------------------

  /** A second call ends the wait for tasks. */
  #stop(): Promise<void> {
    if (this.#stopped !== null) void this.#leading?.stop();
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async #stopAll(): Promise<void> {
    const leading = this.#leading?.stop();
    this.#stopping.abort();
    await this.#live;
    await (leading ?? this.#leading?.stop());
    await this.#release();
  }

  async #release(): Promise<void> {
    for (const end of this.#end) await end();
    if (this.#standby !== null) await close(this.#standby.app);
    this.#standby?.ended.close();
    await this.#next?.close();
    this.#unlock();
    await this.#bus?.close();
    await this.#members.leave();
  }

  #unlock(): void {
    this.#lock?.release();
    this.#lock = undefined;
  }
}

/** Opens a store. @returns false: another server was faster, and has the database or the data directory @throws {AltLasError} it cannot be opened */
async function isTaken(store: PostgresStore, stale: string | null): Promise<boolean> {
  try {
    await store.lead(stale);
    return true;
  } catch (error) {
    if (error instanceof AltLasError && error.code === "conflict") return false;
    throw error;
  }
}

/** The parts that take over changes of the configuration while it stands by. */
function usersOf({ app }: StandbyServer, log: Logger): Parameters<LiveSettings["use"]>[0] {
  const apply = (next: Config, before: Config): void => {
    if (next.log.level === before.log.level) return;
    setLevel(log, next.log.level);
    followLogLevel(app, log);
  };
  const reload = (next: Config, before: Config) => {
    apply(next, before);
    return { certificate: app.renewCertificate() };
  };
  return { check: () => {}, refuse: () => {}, apply, reload };
}
