/** Tries every NVIDIA GPU as a user would: a server with the demo model, and one token from each. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** How the trial of one GPU ended. */
export interface Tried {
  readonly name: string;
  /** Why it generates nothing; null: it does. */
  readonly fault: string | null;
}

interface Gpu {
  readonly id: number;
  readonly name: string;
  readonly status: string;
  readonly reason: string | null;
}

interface Task {
  readonly task_id: string;
  readonly status: string;
  readonly error?: { readonly message: string } | null;
}

/** Seconds after which a GPU is looked at while its token is waited for: a task waits for as long as its GPU may yet be mended. */
const WAIT = 1;

/** States in which a GPU will not generate by itself. */
const GIVEN_UP = /^(unfit|faulted|lost)$/;

/**
 * @param settings of the server beside the defaults; only a test has others
 * @throws {Error} one sentence: the server itself did not start
 */
export async function tryGpus(root: string, settings: object = { gpu: { cpu_fallback: false } }): Promise<Tried[]> {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-trial-"));
  const config = join(folder, "config.json");
  writeFileSync(config, JSON.stringify(settings));
  const key = randomBytes(16).toString("hex");
  const program = join(root, "bin/alt-las.js");
  const options = ["--config", config, "--data-dir", join(folder, "data"), "--port", "0", "--host", "127.0.0.1"];
  const server = spawn(process.execPath, [program, "serve", ...options], {
    cwd: root,
    // Its first line is looked for in English.
    env: { ...process.env, ALT_LAS_API_KEY: key, LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(server, "close");
  try {
    let words = "";
    server.stderr.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-2000)));
    const url = await addressIn(server.stdout);
    if (url === null) throw new Error(`The server does not start: ${words.trim().split("\n").at(-1)}`);
    // Later output of the server must not fill the pipe.
    server.stdout.resume();
    return await askAll(`${url}/api/v1`, key);
  } finally {
    server.kill();
    await closed;
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The address that a server prints when it listens; null: it ended before. */
async function addressIn(output: NodeJS.ReadableStream): Promise<string | null> {
  for await (const line of createInterface({ input: output })) {
    const [, url] = / listens on (\S+)$/.exec(line) ?? [];
    if (url !== undefined) return url;
  }
  return null;
}

async function askAll(api: string, key: string): Promise<Tried[]> {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const ask = async <Answer>(path: string, init: RequestInit = {}): Promise<Answer> =>
    (await (await fetch(`${api}${path}`, { ...init, headers })).json()) as Answer;
  const gpusNow = async (): Promise<Gpu[]> => (await ask<{ gpus: Gpu[] }>("/gpus")).gpus;
  const faultOf = async (id: number): Promise<string | null> => {
    const body = { text: "Once upon a time", max_length: 1, gpu_options: { specific_gpu_id: id } };
    let task = await ask<Task>("/predict", { method: "POST", body: JSON.stringify(body) });
    for (;;) {
      if (task.status === "completed") return null;
      const gpu = (await gpusNow()).find((one) => one.id === id);
      // The GPU's own reason says more than that of a task that nobody could run.
      if (gpu !== undefined && GIVEN_UP.test(gpu.status)) return gpu.reason ?? gpu.status;
      if (task.status !== "queued" && task.status !== "running") return task.error?.message ?? task.status;
      task = await ask<Task>(`/task/${task.task_id}?wait=${WAIT}`);
    }
  };
  const tried = (await gpusNow()).map(async ({ id, name }): Promise<Tried> => ({ name, fault: await faultOf(id) }));
  return Promise.all(tried);
}
