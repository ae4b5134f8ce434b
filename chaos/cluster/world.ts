/** The processes of a cluster under violence: a NATS server, a server, and agents, each of which may be dead or frozen. */
import { join } from "node:path";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { AgentProcess } from "../../test/helpers/agent-process.ts";
import { NatsServer } from "../../test/helpers/nats.ts";
import { type Exit, Server } from "../../test/helpers/server.ts";

const AGENTS = ["one", "two", "three"] as const;
const AGENT_CONFIG = "engine: { simulated: { tokens_per_second: 40 } }";

/** An agent that may be dead. */
export interface Seat {
  readonly name: string;
  readonly folder: string;
  agent: AgentProcess;
}

export class ClusterWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "alt-las-cluster-chaos-"));
  readonly seats: Seat[] = [];
  readonly #undo: (() => void | Promise<void>)[] = [];
  nats!: NatsServer;
  server!: Server;

  private constructor() {}

  static async start(): Promise<ClusterWorld> {
    const world = new ClusterWorld();
    const owner = world.#owner;
    world.nats = await NatsServer.start(owner);
    const folder = join(world.folder, "server");
    mkdirSync(folder);
    world.server = await Server.start(owner, { config: `cluster: { nats: '${world.nats.url}' }` }, folder);
    for (const name of AGENTS) {
      const own = join(world.folder, name);
      mkdirSync(own);
      world.seats.push({ name, folder: own, agent: await world.#newAgent(name, own) });
    }
    return world;
  }

  get #owner() {
    return { after: (undo: () => void | Promise<void>) => void this.#undo.push(undo) };
  }

  #newAgent(name: string, folder: string): Promise<AgentProcess> {
    const options = { join: this.nats.url, name, config: AGENT_CONFIG, devices: "simulated:2" };
    return AgentProcess.start(this.#owner, options, folder);
  }

  async restartAgent(seat: Seat): Promise<void> {
    seat.agent = await this.#newAgent(seat.name, seat.folder);
    if (!/gives \d+ GPU/.test(seat.agent.said)) throw new Error(`the agent ${seat.name} ended: ${seat.agent.said}`);
  }

  async stopServer(signal: "SIGKILL" | "SIGTERM"): Promise<Exit> {
    if (signal === "SIGTERM") return this.server.stop();
    await this.server.kill9();
    return this.server.exit;
  }

  async restartServer(): Promise<void> {
    this.server = await this.server.restart();
  }

  async end(): Promise<void> {
    for (const { agent } of this.seats) agent.signal("SIGCONT");
    for (const undo of this.#undo.toReversed()) await undo();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
