/**
 * A server with something to see: GPUs of several sizes, whose driver is a stand-in that follows what runs on them, and several users who keep
 * them busy. For pictures, and for looking at the dashboard while one works on it:
 *
 *     node tools/screenshots.ts --serve
 */
import { hash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SqliteStore } from "../../src/store/sqlite/sqlite.ts";
import { newUse } from "../../src/task-use.ts";
import { type Task } from "../../src/task.ts";
import { type FakeNvidiaGpu, fakeNvidiaSmi, nvidiaGpu } from "./fake-drivers.ts";
import { seeded } from "./seeded.ts";
import { type Owner, Server } from "./server.ts";
import { complete, newTask, run } from "./store.ts";

const CARDS: readonly FakeNvidiaGpu[] = [
  nvidiaGpu(1, { name: "NVIDIA H100 80GB HBM3", powerLimit: 700 }),
  nvidiaGpu(2, { name: "NVIDIA H100 80GB HBM3", powerLimit: 700 }),
  nvidiaGpu(3, { name: "NVIDIA A100-SXM4-40GB", memoryTotal: 40_960, powerLimit: 400, computeCapability: "8.0" }),
  nvidiaGpu(4, { name: "NVIDIA L4", memoryTotal: 23_034, powerLimit: 72, power: 16, computeCapability: "8.9" }),
];

const HOUR = 3600 * 1000;
const DAY = 24 * HOUR;

const USERS = ["ayse", "bob", "carol", "deniz", "nightly"] as const;

/** Known to everybody, for a server on loopback that lives for minutes. */
const keyOf = (user: string): string => `altlas_demo_${user}`;

function account(user: string, role: string): { user: string; key: string } {
  return {
    user: `{ name: ${user}, role: ${role} }`,
    key: `{ name: key-of-${user}, user: ${user}, sha256: ${hash("sha256", keyOf(user))} }`,
  };
}

const ACCOUNTS = [account("operator", "admin"), ...USERS.map((user) => account(user, "user"))];

const CONFIG = `
auth:
  users: [${ACCOUNTS.map(({ user }) => user).join(", ")}]
  keys: [${ACCOUNTS.map(({ key }) => key).join(", ")}]
gpu:
  devices:
    - { gpu: 0, slots: 8 }
    - { gpu: 1, slots: 8 }
    - { gpu: 2, slots: 4 }
    - { gpu: 3, slots: 2 }
  health_check_interval: 0
engine: { kind: simulated, simulated: { tokens_per_second: 45, load_seconds: 1, failures: [{ kind: error, when_text_contains: haiku, after_tokens: 90 }] } }
models:
  - { name: qwen3-8b, source: qwen3-8b, gpus: [0, 1, 2], engine: { memory_bytes: 9000000000 } }
  - { name: llama-3.2-3b, source: llama-3.2-3b, engine: { memory_bytes: 3400000000 } }
  - { name: nomic-embed, source: nomic-embed, gpus: [3], load: demand, engine: { memory_bytes: 600000000 } }
callers: { users: { nightly: { max_running: 5 } } }
tasks: { retention: 86400 }
`;

const TEXTS = [
  "Summarize the meeting notes below in five points, for people who were not there.",
  "Translate this letter into Turkish, and keep its polite tone.",
  "Which of these tickets are about the same fault? Give their numbers and say why.",
  "Write a haiku about a queue that is never empty.",
];

export interface DemoWorld {
  readonly server: Server;
  /** Has one GPU drained, and more waiting than there are slots, for several reasons. */
  crowd(): Promise<void>;
  /** Ends the tasks of the users; what runs goes on. */
  stop(): void;
}

/** @param owner has it all ended */
export async function demoWorld(owner: Owner): Promise<DemoWorld> {
  const smi = fakeNvidiaSmi(owner, { gpus: CARDS });
  const folder = mkdtempSync(join(tmpdir(), "alt-las-demo-"));
  owner.after(() => rmSync(folder, { recursive: true, force: true }));
  await workBefore(folder);
  const env = { PATH: `${smi.folder}:${process.env["PATH"]}` };
  const server = await Server.start(owner, { config: CONFIG, env }, folder);
  server.key = keyOf("operator");
  await server.loaded();
  const ended = new AbortController();
  const { signal } = ended;
  owner.after(() => ended.abort());
  void follow(server, smi, signal);
  for (const [index, user] of USERS.entries()) void use(server, keyOf(user), index, signal);
  return { server, crowd: () => crowd(server), stop: () => ended.abort() };
}

/** What the users have done in the month before. Its tasks are older than the server keeps them; what they have cost stays. */
async function workBefore(folder: string): Promise<void> {
  mkdirSync(join(folder, "data"), { recursive: true, mode: 0o700 });
  const store = new SqliteStore({ path: join(folder, "data", "alt-las.db") });
  await store.open();
  const random = seeded(3);
  const tasks: Task[] = [];
  for (let day = 29; day > 0; day--)
    for (const user of USERS) {
      const createdAt = Date.now() - day * DAY - HOUR;
      const isWeekend = new Date(createdAt).getUTCDay() % 6 === 0;
      const works = user === "nightly" ? 1.5 : isWeekend ? 0.2 : 1;
      for (let left = Math.ceil(6 * works * random()); left > 0; left--) {
        const task = complete(run(newTask(tasks.length + 1, { createdAt, createdClock: createdAt, user })));
        const gpuSeconds = 20 + 90 * random() ** 2;
        const tokens = Math.round(gpuSeconds * 40);
        const counts = { promptTokens: 3 * tokens, completionTokens: tokens, cachedTokens: tokens };
        task.use = { ...newUse(), ...counts, queued: random(), gpuSeconds, energyJoules: 320 * gpuSeconds };
        tasks.push(Object.assign(task, { ranModel: "qwen3-8b", keyName: `key-of-${user}` }));
      }
    }
  await store.save(tasks);
  await store.close();
}

async function crowd(server: Server): Promise<void> {
  await server.request("POST", "/api/v1/gpus/2/drain", { body: { deadline_seconds: 20 } });
  const wish = (user: string, body: object) =>
    server.predict({ text: TEXTS[0]!, max_length: 600, ...body }, { authorization: `Bearer ${keyOf(user)}` });
  await wish("deniz", { model: "qwen3-8b", gpu_options: { specific_gpu_id: 2 } });
  for (let count = 0; count < 4; count++) await wish("carol", { gpu_options: { specific_gpu_id: 3 }, max_length: 900 });
  for (let count = 0; count < 7; count++) await wish("nightly", { model: "llama-3.2-3b" });
}

/** Has the driver tell what a real one would of cards that are as busy as these. */
async function follow(server: Server, smi: { write(state: { gpus: FakeNvidiaGpu[] }): void }, signal: AbortSignal) {
  const random = seeded(7);
  const warm = CARDS.map(() => 38);
  while (!signal.aborted) {
    const gpus = await server.gpus().catch(() => []);
    smi.write({
      gpus: CARDS.map((card, id) => {
        const busy = gpus[id] === undefined ? 0 : gpus[id].task_count / gpus[id].slots;
        const models = gpus[id]?.instances.filter(({ state }) => state === "ready") ?? [];
        const taken = models.reduce((sum, { memory_bytes }) => sum + (memory_bytes ?? 0), 0) / 2 ** 20;
        const [idle, limit] = [card.powerLimit! * 0.14, card.powerLimit!];
        warm[id]! += (38 + 38 * busy - warm[id]!) * 0.1;
        return {
          ...card,
          utilization: busy === 0 ? 0 : Math.min(100, Math.round(100 * busy ** 0.4 - random() * 12)),
          temperature: Math.round(warm[id]! + random()),
          power: idle + (limit - idle) * 0.85 * busy ** 0.6 * (0.92 + random() * 0.08),
          memoryUsed: Math.round(900 + taken * (1 + 0.25 * busy)),
        };
      }),
    });
    await sleep(500, undefined, { signal }).catch(() => {});
  }
}

/** One user's work: mostly a little, sometimes a batch. */
async function use(server: Server, key: string, index: number, signal: AbortSignal): Promise<void> {
  const random = seeded(11 + index);
  const headers = { authorization: `Bearer ${key}` };
  while (!signal.aborted) {
    const body = {
      text: TEXTS[Math.floor(random() ** 1.6 * TEXTS.length)]!.repeat(1 + Math.floor(random() * 30)),
      max_length: 30 + Math.floor(random() ** 2 * 900),
      model: random() < 0.7 ? "qwen3-8b" : "llama-3.2-3b",
      gpu_options: { strategy: random() < 0.8 ? "least_loaded" : "round_robin" },
    };
    const { task_id } = await server.predict(body, headers);
    if (random() < 0.06) await server.request("POST", `/api/v1/task/${task_id}/cancel`, { headers });
    await sleep(1200 + random() * 2600, undefined, { signal }).catch(() => {});
  }
}
