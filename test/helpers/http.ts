/** What the tests of the HTTP side share: a server over a task book that only remembers what it was asked. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext } from "node:test";
import { type FastifyInstance } from "fastify";
import { pino } from "pino";
import { Credentials } from "../../src/auth/credentials.ts";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { parseConfig, type Config } from "../../src/config.ts";
import { type GpuStatus, type Readiness } from "../../src/gpu/status.ts";
import { type DrainOptions, type RunningTask } from "../../src/http/parts.ts";
import { createServer, type ServerParts } from "../../src/http/server.ts";
import { type SubmitOptions, type Submission, type TaskApi, type TaskSnapshot } from "../../src/scheduler/tasks.ts";
import { type TaskFilter } from "../../src/store/store.ts";
import { newTask, type TaskIdentity, type TaskInput } from "../../src/task.ts";

export const ID = "123e4567-e89b-12d3-a456-426614174000";
export const OTHER_ID = "223e4567-e89b-12d3-a456-426614174000";
export const UNKNOWN_ID = "323e4567-e89b-12d3-a456-426614174000";

export const KEYS = { admin: "altlas_admin", user: "altlas_user", viewer: "altlas_viewer" };
export const AS = {
  admin: { authorization: `Bearer ${KEYS.admin}` },
  user: { authorization: `Bearer ${KEYS.user}` },
  viewer: { authorization: `Bearer ${KEYS.viewer}` },
};

/** A configuration with one user of each role, named after it. */
export function testConfig(yaml = ""): Config {
  const roles = Object.entries(KEYS);
  const users = roles.map(([role]) => `    - { name: ${role}, role: ${role} }`);
  const keys = roles.map(([role, key]) => `    - { name: ${role}-key, user: ${role}, sha256: "${hashApiKey(key)}" }`);
  return parseConfig(`auth:\n  users:\n${users.join("\n")}\n  keys:\n${keys.join("\n")}\n${yaml}`, "test.yaml");
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function aTask(fields: Partial<TaskSnapshot> = {}): TaskSnapshot {
  const identity: TaskIdentity = {
    id: ID,
    seq: 1,
    user: "user",
    text: "a prompt",
    maxLength: 128,
    temperature: 0.7,
    taskType: "text_generation",
    strategy: "least_loaded",
    pinnedGpuId: null,
    batchId: null,
    wholeBatch: false,
    createdAt: Date.UTC(2025, 7, 10, 12, 34, 56, 281),
  };
  return { ...newTask(identity), ...fields };
}

const DONE = Date.UTC(2025, 7, 10, 12, 34, 56, 789);

export function aCompletedTask(fields: Partial<TaskSnapshot> = {}): TaskSnapshot {
  return aTask({
    status: "completed",
    gpuId: 0,
    startedAt: DONE - 500,
    finishedAt: DONE,
    attempts: [{ gpuId: 0, startedAt: DONE - 500, endedAt: DONE, reason: "completed" }],
    placement: {
      strategy: "least_loaded",
      gpuId: 0,
      reason: "GPU 0 has the lowest load, 0.",
      candidates: [
        { gpuId: 0, score: 0 },
        { gpuId: 1, score: null },
      ],
      others: { draining: 2 },
    },
    result: {
      text: "Generated text response",
      executionTime: 0.5,
      timestamp: DONE,
      finishReason: "stop",
      promptTokens: 4,
      completionTokens: 3,
    },
    ...fields,
  });
}

export const GPU: GpuStatus = {
  id: 0,
  name: "NVIDIA A100",
  kind: "gpu",
  uuids: ["GPU-1"],
  pciBusIds: ["0000:65:00.0"],
  status: "ready",
  reason: null,
  since: DONE,
  crowded: null,
  utilization: 30,
  memoryUsed: 4_000_000_000,
  memoryTotal: 16_000_000_000,
  memoryFree: 12_000_000_000,
  othersMemory: 0.03,
  othersUtilization: 0.1,
  temperature: 45,
  maxTemperature: 87,
  power: 130.5,
  powerLimit: 400,
  energy: 7_200_000,
  throttle: ["sw_power_cap"],
  ecc: { corrected: 2, uncorrected: 0 },
  xids: { 13: 2 },
  computeCapability: 8,
  processes: [
    { pid: 4711, memory: 3_500_000_000, utilization: 20, own: true },
    { pid: 99, memory: 500_000_000, utilization: null, own: false },
  ],
  taskCount: 2,
  slots: 8,
  load: 0.25,
  model: "a model",
  context: 8192,
  memoryNote: null,
  device: "NVIDIA A100 (CUDA)",
  pid: 4711,
  restarts: 0,
  events: [
    { at: DONE - 1000, event: "starting", reason: "The model is being loaded." },
    { at: DONE, event: "ready", reason: "The model is loaded." },
  ],
};

/** A stand-in, of which next to nothing can be measured. */
export const CPU_DEVICE: GpuStatus = {
  ...GPU,
  id: 1,
  name: "CPU device 0",
  kind: "cpu",
  uuids: ["cpu:0"],
  pciBusIds: [],
  utilization: null,
  memoryUsed: null,
  memoryTotal: null,
  memoryFree: null,
  othersMemory: null,
  othersUtilization: null,
  temperature: null,
  maxTemperature: null,
  power: null,
  powerLimit: null,
  energy: null,
  throttle: null,
  ecc: null,
  xids: {},
  computeCapability: null,
  processes: null,
  taskCount: 0,
  load: 0,
  model: null,
  context: null,
  device: null,
  pid: null,
  events: [],
};

/** Two that hold one model together. */
export const GPU_GROUP: GpuStatus = {
  ...GPU,
  id: 2,
  name: "2 × NVIDIA A100",
  uuids: ["GPU-2", "GPU-3"],
  pciBusIds: ["0000:66:00.0", "0000:67:00.0"],
};

/** Remembers submissions, and answers what a test has set. */
export class FakeTasks implements TaskApi {
  readonly submitted: { inputs: readonly TaskInput[]; options: SubmitOptions }[] = [];
  readonly waits: { id: string; seconds: number; signal: AbortSignal }[] = [];
  readonly filters: TaskFilter[] = [];
  tasks: TaskSnapshot[] = [];
  submission: Submission = {
    batchId: null,
    batchStatus: "running",
    tasks: [{ id: ID, gpuId: 0, status: "running" }],
  };
  /** Thrown by every method when set. */
  failure: Error | undefined;
  /** What a wait ends with; undefined: the task as it is. */
  onWait: ((id: string, signal: AbortSignal) => Promise<TaskSnapshot | null>) | undefined;

  async submit(inputs: readonly TaskInput[], options: SubmitOptions): Promise<Submission> {
    this.#mayFail();
    this.submitted.push({ inputs, options });
    return this.submission;
  }

  async get(id: string): Promise<TaskSnapshot | null> {
    this.#mayFail();
    return this.tasks.find((task) => task.id === id) ?? null;
  }

  async wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null> {
    this.waits.push({ id, seconds, signal });
    return this.onWait ? this.onWait(id, signal) : this.get(id);
  }

  async list(filter: TaskFilter): Promise<{ tasks: readonly TaskSnapshot[]; total: number }> {
    this.#mayFail();
    this.filters.push(filter);
    return { tasks: this.tasks, total: this.tasks.length };
  }

  #mayFail(): void {
    if (this.failure) throw this.failure;
  }
}

export interface TestServer {
  readonly app: FastifyInstance;
  readonly tasks: FakeTasks;
  readonly log: string[];
  readonly dataDir: string;
  /** What the tests may change while the server runs. */
  readonly state: { draining: boolean; readiness: Readiness; gpus: GpuStatus[]; running: RunningTask[] };
  /** What operators asked for, in order. */
  readonly operations: (({ drain: number } & DrainOptions) | { resume: number; by: string })[];
}

export function testServer(
  t: TestContext,
  config: Config = testConfig(),
  parts: Partial<ServerParts> = {},
): TestServer {
  const tasks = new FakeTasks();
  const log: string[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => log.push(line) });
  const dataDir = temporaryFolder(t);
  const state = {
    draining: false,
    readiness: { ready: true, reason: null } as Readiness,
    gpus: [GPU],
    running: [] as RunningTask[],
  };
  const operations: TestServer["operations"] = [];
  const app = createServer({
    config,
    tasks,
    gpus: () => state.gpus,
    runningOn: (gpuId) => (gpuId === GPU.id ? state.running : []),
    drainGpu: (gpuId, options) => operations.push({ drain: gpuId, ...options }),
    resumeGpu: (gpuId, by) => operations.push({ resume: gpuId, by }),
    readiness: () => state.readiness,
    draining: () => state.draining,
    credentials: new Credentials({ config: config.auth, dataDir, log: logger }),
    log: logger,
    version: "1.2.3",
    ...parts,
  });
  t.after(() => app.close());
  return { app, tasks, log, dataDir, state, operations };
}
