/**
 * The processes of a cluster under violence: NATS, PostgreSQL, servers and agents. Each may be dead or frozen, and has a clock of its own;
 * whatever they say to each other goes over a link that may be cut.
 */
import { spawnSync } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentProcess } from "../../test/helpers/agent-process.ts";
import { NatsServer } from "../../test/helpers/nats.ts";
import { postgresOwner, PostgresServer } from "../../test/helpers/postgres.ts";
import { Server } from "../../test/helpers/server.ts";
import { CLOCK_VARIABLES, WallClock } from "../clock.ts";
import type { Dice } from "../dice.ts";
import { sessions, watchWrites } from "./epochs.ts";
import { Link } from "./link.ts";
import { Losses, withoutRequests } from "./losses.ts";

const AGENTS = ["one", "two", "three"] as const;
const AGENT_CONFIG = JSON.stringify({
  gpu: { worker_environment: CLOCK_VARIABLES },
  engine: { simulated: { tokens_per_second: 40 } },
});
/** Servers with a database, of which one leads; with a file there is one. */
const SERVERS = 3;
const env = { ALT_LAS_API_KEY: "altlas_0123456789012345678901234567890123456789abc" };
const SOCKET = ".s.PGSQL.5432";
/** So that no connections of servers that were frozen or cut off keep others out. */
const POSTGRES = ["max_connections=200"];
/** Characters of what a process has said last. */
const SHOWN = 10_000;
/** Milliseconds in which a server says whether it leads. */
const ROLE = 500;

/** A machine with an agent, which may be dead. */
export interface Seat {
  readonly name: string;
  readonly folder: string;
  readonly nats: Link;
  readonly clock: WallClock;
  agent: AgentProcess;
}

/** A machine with a server, which may be dead. */
export interface Post {
  readonly nats: Link;
  /** null: its tasks are in a file. */
  readonly postgres: Link | null;
  /** From the other servers to it. */
  readonly http: Link;
  readonly clock: WallClock;
  server: Server;
}

/** A fault that is to happen: where, and by whose decisions. */
export interface Hit {
  readonly world: ClusterWorld;
  readonly dice: Dice;
  /** To be told whom it may keep from being heard: machines, and servers that may hear nothing of any machine. */
  readonly silenced: Set<Seat | Post>;
}

export class ClusterWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "alt-las-cluster-chaos-"));
  readonly seats: Seat[] = [];
  readonly posts: Post[] = [];
  readonly losses = new Losses((machine) => this.seats.find(({ name }) => name === machine)!.agent.said);
  readonly #undo: (() => void | Promise<void>)[] = [];
  nats!: NatsServer;
  postgres: PostgresServer | null = null;
  #asked = 0;

  private constructor() {}

  /** @param several servers, with PostgreSQL */
  static async start(several: boolean): Promise<ClusterWorld> {
    const world = new ClusterWorld();
    world.nats = await NatsServer.start(world.#owner);
    if (several) await world.#startPostgres();
    for (let number = 0; number < (several ? SERVERS : 1); number++) world.posts.push(await world.#newPost(number));
    if (world.postgres !== null) await watchWrites(world.postgres);
    for (const name of AGENTS) world.seats.push(await world.#newSeat(name));
    return world;
  }

  get #owner() {
    return { after: (undo: () => void | Promise<void>) => void this.#undo.push(undo) };
  }

  /** Another one with each call: clients do not know which server leads. */
  get server(): Server {
    return this.posts[this.#asked++ % this.posts.length]!.server;
  }

  /** The machine of the server that leads, as far as it says so. */
  async leader(): Promise<Post | null> {
    for (const post of this.posts) {
      const answer = fetch(`${post.server.url}/healthz`, { signal: AbortSignal.timeout(ROLE) });
      const said = await answer.then((response) => response.json() as Promise<{ role?: string }>).catch(() => null);
      if (said?.role === "leader") return post;
    }
    return null;
  }

  async #startPostgres(): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), "alt-las-postgres-"));
    const owner = postgresOwner();
    if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
    const postgres = await PostgresServer.start(POSTGRES, "trust", folder);
    this.#undo.push(() => postgres.remove());
    this.postgres = postgres;
  }

  async #newPost(number: number): Promise<Post> {
    const folder = join(this.folder, `server-${number}`);
    mkdirSync(folder);
    const nats = await this.#newLink(this.nats.port, true);
    const postgres = this.postgres && (await this.#newLink(join(this.postgres.folder, SOCKET)));
    const http = await this.#newLink(0);
    const clock = new WallClock(join(folder, "clock"));
    const store = postgres === null ? {} : { url: `postgres://postgres@${postgres.host}/postgres` };
    const cluster = { nats: `nats://${nats.host}`, address: `http://${http.host}` };
    // JSON is YAML.
    const config = JSON.stringify({ cluster, store });
    const server = await Server.start(this.#owner, { config, env: { ...env, ...clock.environment } }, folder);
    http.turnTo(portOf(server));
    const post = { nats, postgres, http, clock, server };
    this.losses.follow(post, server);
    return post;
  }

  async #newSeat(name: string): Promise<Seat> {
    const folder = join(this.folder, name);
    mkdirSync(folder);
    const nats = await this.#newLink(this.nats.port, true);
    const seat = { name, folder, nats, clock: new WallClock(join(folder, "clock")) };
    return { ...seat, agent: await this.#newAgent(seat) };
  }

  async #newLink(target: number | string, isNats = false): Promise<Link> {
    const link = await Link.open(target, isNats);
    this.#undo.push(() => link.close());
    return link;
  }

  #newAgent({ name, folder, nats, clock }: Omit<Seat, "agent">): Promise<AgentProcess> {
    const at = { join: `nats://${nats.host}`, name, env: clock.environment };
    return AgentProcess.start(this.#owner, { ...at, config: AGENT_CONFIG, devices: "simulated:2" }, folder);
  }

  async restartAgent(seat: Seat): Promise<void> {
    seat.agent = await this.#newAgent(seat);
    if (!/gives \d+ GPU/.test(seat.agent.said)) throw new Error(`the agent ${seat.name} ended: ${seat.agent.said}`);
  }

  async restartServer(post: Post): Promise<void> {
    post.server = await post.server.restart();
    this.losses.follow(post, post.server);
    post.http.turnTo(portOf(post.server));
  }

  /** How all of it looks, for people who look for a fault. */
  async view(): Promise<string> {
    const agents = this.seats.map(({ name, agent }) => `${name}: ${agent.said.slice(-SHOWN)}`);
    const servers = this.posts.map(({ server }) => `${server.url}: ${withoutRequests(server.stderr).slice(-SHOWN)}`);
    const database = this.postgres && (await sessions(this.postgres).catch(String));
    return [...agents, ...servers, database, threads()].join("\n");
  }

  async end(): Promise<void> {
    for (const { agent, nats } of this.seats) {
      agent.signal("SIGCONT");
      nats.release();
    }
    for (const undo of this.#undo.toReversed()) await undo();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The threads of all its processes: their states, seconds of life and of processor time, and what each waits for. */
function threads(): string {
  const shown = "pid,tid,stat,etimes,cputimes,wchan:24,comm";
  return spawnSync("ps", ["-L", "--ppid", String(process.pid), "-o", shown], { encoding: "utf8" }).stdout;
}

function portOf({ url }: Server): number {
  return Number(new URL(url).port);
}
