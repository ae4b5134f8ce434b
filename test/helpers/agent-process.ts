/** A real agent in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { childrenOf } from "./processes.ts";
import { BIN } from "./server.ts";
import { newFolder, type Owner } from "./server-handle.ts";

export interface AgentOptions {
  readonly join: string;
  readonly name: string;
  /** YAML. */
  readonly config?: string;
  readonly devices?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The `bin/alt-las.js` of another version. */
  readonly program?: string;
}

export class AgentProcess {
  readonly process: ChildProcess;
  readonly exit: Promise<number | null>;
  said = "";

  private constructor(
    { join: url, name, config = "", devices = "simulated:1", env, program = BIN }: AgentOptions,
    folder: string,
  ) {
    const file = join(folder, "config.yaml");
    writeFileSync(file, config);
    const args = ["agent", "--join", url, "--name", name, "--devices", devices];
    this.process = spawn(process.execPath, [program, ...args, "--config", file, "--data-dir", join(folder, "data")], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.process.stdout!, this.process.stderr!])
      stream.setEncoding("utf8").on("data", (text: string) => (this.said += text));
    this.exit = once(this.process, "close").then(([code]) => code as number | null);
  }

  /** Resolves when it has started, or has ended. */
  static async start(owner: Owner, options: AgentOptions, folder = newFolder(owner)): Promise<AgentProcess> {
    const agent = new AgentProcess(options, folder);
    owner.after(() => agent.kill());
    const ended = agent.exit.then(() => true);
    while (
      !/gives \d+ GPU/.test(agent.said) &&
      !(await Promise.race([ended, once(agent.process.stdout!, "data").then(() => false)]))
    );
    return agent;
  }

  signal(signal: NodeJS.Signals): void {
    this.process.kill(signal);
  }

  /** Its worker of a GPU, if it has one now. */
  killWorker(gpuId: number): void {
    const worker = childrenOf(this.process.pid!).find(({ command }) =>
      command.startsWith(`alt-las worker gpu ${gpuId}`),
    );
    if (worker !== undefined) process.kill(worker.pid, "SIGKILL");
  }

  async kill(): Promise<void> {
    this.process.kill("SIGCONT");
    this.process.kill("SIGKILL");
    await this.exit;
  }

  async stop(): Promise<number | null> {
    this.process.kill("SIGTERM");
    return this.exit;
  }
}
