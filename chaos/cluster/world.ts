/** The processes of a cluster under violence: a NATS server, servers, and agents, each of which may be dead or frozen, or cut off. */
import { join } from "node:path";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { AgentProcess } from "../../test/helpers/agent-process.ts";
import { NatsServer } from "../../test/helpers/nats.ts";
import { PostgresServer } from "../../test/helpers/postgres.ts";
import { type Exit, Server } from "../../test/helpers/server.ts";
import { Link } from "./link.ts";

const AGENTS = ["one", "two", "three"] as const;
const AGENT_CONFIG = "engine: { simulated: { tokens_per_second: 40 } }";

/** An agent that may be dead. */
export interface Seat {
  readonly name: string;
  readonly folder: string;
  readonly link: Link;
  agent: AgentProcess;
}

/** Servers with a database of which one leads; with a file there is one. */
const SERVERS = 2;
const env = { ALT_LAS_API_KEY: "altlas_0123456789012345678901234567890123456789abc" };

export class ClusterWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "alt-las-cluster-chaos-"));
  readonly seats: Seat[] = [];
  readonly #undo: (() => void | Promise<void>)[] = [];
  nats!: NatsServer;
  readonly servers: Server[] = [];
  postgres: PostgresServer | null = null;
  #asked = 0;

  private constructor() {}

  /** @param several servers, with PostgreSQL */
  static async start(several: boolean): Promise<ClusterWorld> {
    const world = new ClusterWorld();
    const owner = world.#owner;
    world.nats = await NatsServer.start(owner);
    if (several) {
      const postgres = await PostgresServer.start([], "trust");
      world.#undo.push(() => postgres.remove());
      world.postgres = postgres;
    }
    const store = several ? `\nstore: { url: '${world.postgres!.url()}' }` : "";
    for (let number = 0; number < (several ? SERVERS : 1); number++) {
      const folder = join(world.folder, `server-${number}`);
      mkdirSync(folder);
      world.servers.push(
        await Server.start(owner, { config: `cluster: { nats: '${world.nats.url}' }${store}`, env }, folder),
      );
    }
    for (const name of AGENTS) {
      const own = join(world.folder, name);
      mkdirSync(own);
      const link = await Link.open(world.nats.port);
      world.#undo.push(() => link.close());
      world.seats.push({ name, folder: own, link, agent: await world.#newAgent(name, own, link) });
    }
    return world;
  }

  get #owner() {
    return { after: (undo: () => void | Promise<void>) => void this.#undo.push(undo) };
  }

  /** Another one with each call: clients do not know which server leads. */
  get server(): Server {
    return this.servers[this.#asked++ % this.servers.length]!;
  }

  #newAgent(name: string, folder: string, link: Link): Promise<AgentProcess> {
    const options = { join: link.url, name, config: AGENT_CONFIG, devices: "simulated:2" };
    return AgentProcess.start(this.#owner, options, folder);
  }

  async restartAgent(seat: Seat): Promise<void> {
    seat.agent = await this.#newAgent(seat.name, seat.folder, seat.link);
    if (!/gives \d+ GPU/.test(seat.agent.said)) throw new Error(`the agent ${seat.name} ended: ${seat.agent.said}`);
  }

  async stopServer(number: number, signal: "SIGKILL" | "SIGTERM"): Promise<Exit> {
    const server = this.servers[number]!;
    if (signal === "SIGTERM") return server.stop();
    await server.kill9();
    return server.exit;
  }

  async restartServer(number: number): Promise<void> {
    this.servers[number] = await this.servers[number]!.restart();
  }

  async end(): Promise<void> {
    for (const { agent, link } of this.seats) {
      agent.signal("SIGCONT");
      link.release();
    }
    for (const undo of this.#undo.toReversed()) await undo();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
