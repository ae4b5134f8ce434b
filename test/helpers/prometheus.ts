/** A real Prometheus (Debian's package `prometheus`) in a process of its own, on loopback. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { deadline, newFolder, type Owner } from "./server-handle.ts";

/** Milliseconds between two looks: it does not tell when it has scraped. */
const LOOK_EVERY = 100;

/** One result of a query. */
export interface Found {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [time: number, value: string];
}

export class Prometheus {
  readonly #url: string;

  private constructor(url: string) {
    this.#url = url;
  }

  /** @param config YAML @throws {Error} with its log, when it does not start */
  static async start(owner: Owner, config: string): Promise<Prometheus> {
    const folder = newFolder(owner);
    const file = join(folder, "prometheus.yml");
    writeFileSync(file, config);
    const storage = `--storage.tsdb.path=${join(folder, "data")}`;
    const args = [`--config.file=${file}`, storage, "--web.listen-address=127.0.0.1:0"];
    const child = spawn("prometheus", args, { stdio: ["ignore", "ignore", "pipe"], cwd: folder });
    const exit = once(child, "exit");
    owner.after(async () => {
      child.kill("SIGKILL");
      await exit;
    });
    let address = "";
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stderr, signal: deadline() })) {
      said.push(line);
      address = /"Listening on" address=(\S+)/.exec(line)?.[1] ?? address;
      if (line.includes("ready to receive web requests")) {
        child.stderr.resume();
        return new Prometheus(`http://${address}`);
      }
    }
    throw new Error(said.join("\n"));
  }

  async ask<Data>(path: string, query: Readonly<Record<string, string>> = {}): Promise<Data> {
    const url = `${this.#url}/api/v1/${path}?${new URLSearchParams(query).toString()}`;
    const answer = await fetch(url, { signal: deadline() });
    const { status, data, error } = (await answer.json()) as { status: string; data: Data; error?: string };
    if (status !== "success") throw new Error(`${JSON.stringify(query)}: ${error}`);
    return data;
  }

  async query(expression: string): Promise<readonly Found[]> {
    return (await this.ask<{ result: readonly Found[] }>("query", { query: expression })).result;
  }

  /** Waits until a query finds something. */
  async finds(expression: string): Promise<readonly Found[]> {
    for (const signal = deadline(); ; await sleep(LOOK_EVERY, undefined, { signal })) {
      const found = await this.query(expression);
      if (found.length > 0) return found;
    }
  }
}
