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
  uuid: "GPU-1",
  status: "ready",
  reason: null,
  since: DONE,
  utilization: 30,
  memoryUsed: 4_000_000_000,
  memoryTotal: 16_000_000_000,
  taskCount: 2,
  slots: 8,
  load: 0.25,
  model: "a model",
  context: 8192,
  pid: 1,
  restarts: 0,
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
  readonly state: { draining: boolean; readiness: Readiness; gpus: GpuStatus[] };
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
  const state = { draining: false, readiness: { ready: true, reason: null } as Readiness, gpus: [GPU] };
  const app = createServer({
    config,
    tasks,
    gpus: () => state.gpus,
    readiness: () => state.readiness,
    draining: () => state.draining,
    credentials: new Credentials({ config: config.auth, dataDir, log: logger }),
    log: logger,
    version: "1.2.3",
    ...parts,
  });
  t.after(() => app.close());
  return { app, tasks, log, dataDir, state };
}
