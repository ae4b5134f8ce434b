/** A server of a cluster, agents and the NATS server between them, for benchmarks: real processes on this machine. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentProcess } from "../../test/helpers/agent-process.ts";
import { NatsServer, NO_NATS } from "../../test/helpers/nats.ts";
import { type BenchServer, startServer } from "../server.ts";

/** Milliseconds between two looks. */
const LOOK = 10;

export interface GpuLook {
  readonly status: string;
  readonly machine: string;
}

export class ClusterWorld implements AsyncDisposable {
  readonly #undo: (() => unknown)[] = [];
  readonly nats: NatsServer;
  readonly server: BenchServer;

  private constructor(nats: NatsServer, server: BenchServer, undo: (() => unknown)[]) {
    this.nats = nats;
    this.server = server;
    this.#undo = undo;
  }

  /** @param config more of the server's @param first an agent that is there from the start, as a server without any is not ready */
  static async start(config: object, first: { readonly name: string; readonly config: string }): Promise<ClusterWorld> {
    if (NO_NATS !== false) throw new Error(NO_NATS);
    const undo: (() => unknown)[] = [];
    const owner = { after: (end: () => unknown) => void undo.push(end) };
    const nats = await NatsServer.start(owner, ["-m", "-1"]);
    const agent = newAgent(owner, nats, first);
    const server = await startServer({ config: { cluster: { nats: nats.url }, ...config }, probe: true });
    undo.push(() => server.stop());
    const world = new ClusterWorld(nats, server, undo);
    world.agents.set(first.name, await agent);
    return world;
  }

  readonly agents = new Map<string, AgentProcess>();

  async agent(name: string, config: string): Promise<AgentProcess> {
    const agent = await newAgent({ after: (end) => void this.#undo.push(end) }, this.nats, { name, config });
    this.agents.set(name, agent);
    return agent;
  }

  async gpus(): Promise<readonly GpuLook[]> {
    return (await this.server.ask<{ gpus: GpuLook[] }>("/api/v1/gpus")).gpus;
  }

  /** Waits until so many GPUs of a machine are in a state. @returns milliseconds */
  async until(machine: string, status: string, count: number): Promise<number> {
    const start = performance.now();
    for (;;) {
      const there = (await this.gpus()).filter((gpu) => gpu.machine === machine && gpu.status === status);
      if (there.length >= count) return performance.now() - start;
      await sleep(LOOK);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const undo of this.#undo.toReversed()) await undo();
  }
}

type Owner = Parameters<typeof AgentProcess.start>[0];

function newAgent(owner: Owner, nats: NatsServer, more: { readonly name: string; readonly config: string }) {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-bench-agent-"));
  owner.after(() => rmSync(folder, { recursive: true, force: true }));
  return AgentProcess.start(owner, { join: nats.url, devices: "simulated:2", ...more }, folder);
}
