/** What the tests of the HTTP side share: a server over a task book that only remembers what it was asked. */
import assert from "node:assert/strict";
import { type Audit, type AuditEvent } from "../../src/audit/audit-log.ts";
import { type AuditEntry } from "../../src/store/audit.ts";
import { type BatchFileApi } from "../../src/batch-files/batch-file-api.ts";
import { EventEmitter } from "node:events";
import { mkdtempSync } from "node:fs";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext } from "node:test";
import { type FastifyInstance, type InjectOptions, type LightMyRequestResponse } from "fastify";
import { pino } from "pino";
import { type Delta, lengthOf, Output } from "../../src/output.ts";
import { completionOf } from "../../src/request.ts";
import { Credentials } from "../../src/auth/credentials.ts";
import { hashApiKey } from "../../src/auth/secrets.ts";
import { LiveSettings, parseConfig, type Config } from "../../src/config/config.ts";
import { type ModelStatus } from "../../src/gpu/models.ts";
import { type GpuStatus, type Readiness } from "../../src/gpu/status.ts";
import { type DrainOptions, type RunningTask } from "../../src/http/server-parts.ts";
import { type ModelEntry } from "../../src/models/registry.ts";
import { ModelCatalog } from "../../src/models/catalog.ts";
import { EventRing } from "../../src/observe/event-ring.ts";
import { createServer, type ServerParts } from "../../src/http/server.ts";
import {
  type BatchSnapshot,
  type CancelFilter,
  type Following,
  type Listener,
  type SubmitOptions,
  type Submission,
  type TaskApi,
  type TaskPage,
  type TaskSnapshot,
} from "../../src/tasks/task-api.ts";
import { allOf } from "../../src/files/source.ts";
import { type Wait } from "../../src/scheduler/why-waiting.ts";
import { type Delivery, type WebhookEndpoint } from "../../src/store/outbox.ts";
import { noUsage, type UsageRow } from "../../src/store/usage.ts";
import { type TaskFilter } from "../../src/store/tasks.ts";
import { newTask, type TaskInput } from "../../src/task.ts";
import { removeFolder } from "./remove-folder.ts";
import { type SecretView, type WebhookApi } from "../../src/webhooks/webhook-api.ts";

export const ID = "123e4567-e89b-12d3-a456-426614174000";
export const OTHER_ID = "223e4567-e89b-12d3-a456-426614174000";
export const UNKNOWN_ID = "323e4567-e89b-12d3-a456-426614174000";

export const BATCH_ID = "423e4567-e89b-12d3-a456-426614174000";

export const API = "/api/v1";

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
  t.after(() => removeFolder(folder));
  return folder;
}

export function aTask(fields: Partial<TaskSnapshot> = {}): TaskSnapshot {
  const identity: Parameters<typeof newTask>[0] = {
    id: ID,
    seq: 1,
    user: "user",
    request: completionOf("a prompt"),
    taskType: "text_generation",
    priority: "normal",
    timeoutSeconds: null,
    model: null,
    strategy: "least_loaded",
    pinnedGpuId: null,
    batchId: null,
    wholeBatch: false,
    retryOf: null,
    webhook: null,
    createdAt: Date.UTC(2025, 7, 10, 12, 34, 56, 281),
  };
  return { ...newTask(identity), ...fields };
}

export const DONE = Date.UTC(2025, 7, 10, 12, 34, 56, 789);

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
      cachedTokens: 0,
    },
    ...fields,
  });
}

/** There are none, and no files to make some of. */
const NO_BATCH_FILES: BatchFileApi = {
  create: () => Promise.reject(new Error("this server has no files")),
  find: async () => null,
  list: async () => [],
  cancel: () => Promise.reject(new Error("this server has no batches of files")),
};

/** Two of its three tasks have ended. */
export function aBatch(fields: Partial<BatchSnapshot> = {}): BatchSnapshot {
  const batch = {
    firstSeq: 1,
    size: 3,
    whole: false,
    webhook: null,
    createdAt: DONE - 1000,
    finishedAt: null,
    lines: null,
  };
  return {
    batch: { id: BATCH_ID, user: "user", team: null, ...batch },
    counts: { queued: 0, running: 1, completed: 1, failed: 0, canceled: 1 },
    unbound: 0,
    status: "running",
    ...fields,
  };
}

export function aDelivery(fields: Partial<Delivery> = {}): Delivery {
  return {
    id: "msg_1",
    subject: ID,
    user: "user",
    event: "task.completed",
    url: "https://example.com/hook",
    body: "{}",
    createdAt: DONE,
    status: "pending",
    nextAt: DONE + 5000,
    attempts: [{ at: DONE, status: null, error: "The connection was refused.", duration: 1250 }],
    ...fields,
  };
}

/** What all tasks of an hour have cost, told apart by nothing else. */
export const USAGE: UsageRow = {
  ...noUsage(),
  hour: Math.floor(DONE / 3_600_000),
  user: "user",
  team: null,
  key: null,
  model: "a model",
  gpu: 0,
  completed: 2,
  completionTokens: 7,
  gpuSeconds: 0.5,
};

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
  modelName: "a model",
  capabilities: ["chat", "completion"],
  hasChatTemplate: true,
  context: 8192,
  memoryNote: null,
  device: "NVIDIA A100 (CUDA)",
  pid: 4711,
  restarts: 0,
  instances: [
    {
      gpuId: 0,
      id: 0,
      model: "a model",
      source: "/models/a-file.Q4.gguf",
      state: "ready",
      isFetching: false,
      reason: null,
      memoryBytes: 3_500_000_000,
      loadSeconds: 2.5,
      lastUsedAt: DONE,
      running: 2,
      slots: 4,
      context: 2048,
      kvBytesPerToken: 36_864,
    },
  ],
  settings: [{ name: "threads", value: 1, reason: "a GPU computes" }],
  upstream: null,
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
  modelName: null,
  capabilities: null,
  hasChatTemplate: null,
  settings: null,
  context: null,
  device: null,
  pid: null,
  instances: [],
  events: [],
};

/** The model on `GPU`. */
export const MODEL: ModelStatus = {
  name: "a model",
  context: 8192,
  capabilities: ["chat", "completion"],
  aliases: ["an-alias"],
  served: null,
  since: DONE,
  file: "/models/a-file.Q4.gguf",
};

/** Two that hold one model together. */
export const GPU_GROUP: GpuStatus = {
  ...GPU,
  id: 2,
  name: "2 × NVIDIA A100",
  uuids: ["GPU-2", "GPU-3"],
  pciBusIds: ["0000:66:00.0", "0000:67:00.0"],
};

/** A task that goes on as a test lets it, and tells those who follow it; emits `followed` and `stopped`. */
export class FakeRun extends EventEmitter {
  readonly readers = new Set<Listener>();
  /** Whether its output is here; false: it is on its way from another machine, and `arrive` brings it. */
  isWhole = true;
  /** Where other servers may read its output. */
  elsewhere: ReturnType<Following["elsewhere"]> = null;
  #now: { readonly attempt: number; readonly gpuId: number } | null = null;
  #output = new Output();

  follow(listener: Listener): Following {
    this.readers.add(listener);
    this.emit("followed");
    const stop = (): void => {
      if (this.readers.delete(listener)) this.emit("stopped");
    };
    const where = (): ReturnType<Following["where"]> => this.#now && { ...this.#now, model: "demo" };
    const now = (): ReturnType<Following["now"]> => {
      const place = where();
      return place && this.isWhole ? { ...place, output: [...this.#output.deltas] } : null;
    };
    return { createdAt: DONE - 500, where, elsewhere: () => this.elsewhere, now, stop };
  }

  /** @param text what it has said by the time that its start is on disk */
  place(attempt: number, gpuId = 0, text = ""): void {
    this.#output = new Output();
    this.#output.add({ kind: "text", text });
    this.#now = { attempt, gpuId };
    for (const listener of this.readers) {
      listener.started?.();
      listener.placed(attempt, gpuId);
      if (text !== "") listener.delta({ kind: "text", text }, 0);
    }
  }

  arrive(): void {
    this.isWhole = true;
    for (const listener of this.readers) {
      listener.placed(this.#now!.attempt, this.#now!.gpuId);
      let before = 0;
      for (const delta of this.#output.deltas) {
        listener.delta(delta, before);
        before += lengthOf(delta);
      }
    }
  }

  say(text: string, kind: "text" | "reasoning" = "text"): void {
    this.tell({ kind, text });
  }

  tell(delta: Delta): void {
    const before = this.#output.length;
    this.#output.add(delta);
    for (const listener of this.readers) listener.delta(delta, before);
  }

  requeue(): void {
    this.#now = null;
  }

  end(task: TaskSnapshot): void {
    for (const listener of this.readers) listener.ended(task);
    this.readers.clear();
  }

  close(): void {
    for (const listener of this.readers) listener.closed();
    this.readers.clear();
  }
}

/** The same, each without the seed that was drawn for it. */
export function unseeded(inputs: readonly TaskInput[]): TaskInput[] {
  return inputs.map(({ request, ...settings }) => {
    const { seed, ...sampling } = request.sampling;
    assert.equal(seed !== undefined, sampling.temperature > 0, "a seed is drawn where it decides something");
    return { ...settings, request: { ...request, sampling } as TaskInput["request"] };
  });
}

/** Remembers what it was asked, and answers what a test has set. */
export class FakeTasks implements TaskApi {
  readonly submitted: { inputs: readonly TaskInput[]; options: SubmitOptions }[] = [];
  readonly waits: { id: string; seconds: number; signal: AbortSignal }[] = [];
  readonly filters: TaskFilter[] = [];
  /** What `list` answers first, one after another; then it is `tasks`. */
  parts: TaskPage[] = [];
  /** The users of `countRequest`. */
  readonly counted: string[] = [];
  readonly canceled: (string | CancelFilter)[] = [];
  readonly kept: string[] = [];
  readonly retried: string[] = [];
  readonly retryKeys: SubmitOptions["idempotency"][] = [];
  readonly removed: string[] = [];
  readonly followed: string[] = [];
  readonly resultsAsked: { id: string; follow: boolean; signal: AbortSignal }[] = [];
  /** Why tasks wait, by their ids. */
  readonly whys = new Map<string, Wait>();
  tasks: TaskSnapshot[] = [];
  batches: BatchSnapshot[] = [];
  submission: Submission = {
    batchId: null,
    batchStatus: "running",
    tasks: [{ id: ID, gpuId: 0, status: "running" }],
    replayed: false,
  };
  /** What a dry run answers, and what was asked of it. */
  dry: ReturnType<TaskApi["dryRun"]> = { gpuId: null, placement: null, wait: null };
  readonly rehearsed: { inputs: readonly TaskInput[]; options: SubmitOptions }[] = [];
  callersKnown: ReturnType<TaskApi["callers"]>["callers"] = [];
  teamsKnown: ReturnType<TaskApi["callers"]>["teams"] = [];
  /** Thrown by every method when set. */
  failure: Error | undefined;
  budgetsKnown: ReturnType<TaskApi["budgets"]> = [];
  rates: ReturnType<TaskApi["ratesOf"]> = { requests: null, tokens: null };
  /** Thrown by `countRequest` when set. */
  overLimit: Error | undefined;
  /** What a wait ends with; undefined: the task as it is. */
  onWait: ((id: string, signal: AbortSignal) => Promise<TaskSnapshot | null>) | undefined;
  /** What happens with a task when it is canceled; undefined: nothing. */
  onCancel: ((id: string) => void) | undefined;
  /** What `cancelMatching` answers. */
  matching = 0;
  /** The tasks that can be followed. */
  readonly runs = new Map<string, FakeRun>();
  results: AsyncIterable<TaskSnapshot> | Iterable<TaskSnapshot> = [];
  /** By the `seq` of their tasks. */
  readonly noted = new Map<number, string>();

  countRequest(user: string): void {
    this.counted.push(user);
    if (this.overLimit) throw this.overLimit;
  }

  modelOf({ model }: Pick<TaskInput, "model">): string | null {
    return model !== null && MODEL.aliases.includes(model) ? MODEL.name : model;
  }

  refuseOverRequests(): void {
    if (this.overLimit) throw this.overLimit;
  }

  dryRun(input: TaskInput, options: SubmitOptions): ReturnType<TaskApi["dryRun"]> {
    this.#mayFail();
    this.rehearsed.push({ inputs: [input], options });
    return this.dry;
  }

  async notes(seqs: readonly number[]): ReturnType<TaskApi["notes"]> {
    return new Map([...this.noted].filter(([seq]) => seqs.includes(seq)));
  }

  callers(user: string | null): ReturnType<TaskApi["callers"]> {
    const callers = this.callersKnown.filter((one) => user === null || one.user === user);
    return { callers, teams: this.teamsKnown };
  }

  budgets(): ReturnType<TaskApi["budgets"]> {
    return this.budgetsKnown;
  }

  ratesOf(): ReturnType<TaskApi["ratesOf"]> {
    return this.rates;
  }

  async submit(inputs: readonly TaskInput[], { origin, ...options }: SubmitOptions): Promise<Submission> {
    this.#mayFail();
    assert.ok(origin instanceof Object, "what observes the core could not tell which request brings them");
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

  waiting(id: string): Wait | null {
    return this.whys.get(id) ?? null;
  }

  read(): void {}

  requestOf({ request }: TaskSnapshot): ReturnType<TaskApi["requestOf"]> {
    return Promise.resolve(request);
  }

  keep(id: string): void {
    this.kept.push(id);
  }

  async list(filter: TaskFilter): Promise<TaskPage> {
    this.#mayFail();
    this.filters.push(filter);
    const part = this.parts.shift();
    if (part !== undefined) return part;
    return { tasks: this.tasks, total: this.tasks.length };
  }

  async cancel(id: string): Promise<TaskSnapshot> {
    this.canceled.push(id);
    this.#mayFail();
    this.onCancel?.(id);
    return (await this.get(id))!;
  }

  async cancelMatching(filter: CancelFilter): Promise<number> {
    this.#mayFail();
    this.canceled.push(filter);
    return this.matching;
  }

  async retry(id: string, idempotency: SubmitOptions["idempotency"]): Promise<Submission> {
    this.#mayFail();
    this.retried.push(id);
    this.retryKeys.push(idempotency);
    return this.submission;
  }

  async remove(id: string): Promise<TaskSnapshot> {
    this.#mayFail();
    this.removed.push(id);
    return (await this.get(id))!;
  }

  follow(id: string, listener: Listener): Following | null {
    this.followed.push(id);
    return this.runs.get(id)?.follow(listener) ?? null;
  }

  async batch(id: string): Promise<BatchSnapshot | null> {
    this.#mayFail();
    return this.batches.find(({ batch }) => batch.id === id) ?? null;
  }

  async *batchResults(id: string, follow: boolean, signal: AbortSignal): AsyncGenerator<TaskSnapshot> {
    this.resultsAsked.push({ id, follow, signal });
    yield* this.results;
  }

  #mayFail(): void {
    if (this.failure) throw this.failure;
  }
}

/** Remembers what it was asked, and answers what a test has set. */
export class FakeWebhooks implements WebhookApi {
  readonly checked: string[] = [];
  readonly asked: string[] = [];
  /** Thrown by `check` and `redeliver` when set. */
  failure: Error | undefined;
  secret: SecretView = { secret: "whsec_c2VjcmV0", createdAt: DONE, previousUntil: null };
  deliveries: Delivery[] = [];

  /** What `check` says of an address that it accepts. */
  warnings: readonly string[] = [];
  failing: WebhookEndpoint[] = [];

  async check(url: string): Promise<readonly string[]> {
    this.checked.push(url);
    if (this.failure) throw this.failure;
    return this.warnings;
  }

  async endpoints(user?: string): Promise<readonly WebhookEndpoint[]> {
    return this.failing.filter((one) => user === undefined || one.user === user);
  }

  async resume(user: string, origin: string | null, by: string): Promise<void> {
    this.asked.push(`resume ${user} ${origin} by ${by}`);
    if (this.failure) throw this.failure;
  }

  async room(user: string): Promise<void> {
    this.asked.push(`room of ${user}`);
  }

  async secretOf(user: string): Promise<SecretView> {
    this.asked.push(`secret of ${user}`);
    return this.secret;
  }

  async rotateSecret(user: string): Promise<SecretView> {
    this.asked.push(`new secret of ${user}`);
    return { ...this.secret, previousUntil: DONE + 1000 };
  }

  async deliveriesOf(subject: string): Promise<readonly Delivery[]> {
    this.asked.push(`deliveries of ${subject}`);
    return this.deliveries;
  }

  async redeliver(subject: string, id: string | null): Promise<readonly Delivery[]> {
    this.asked.push(`again ${subject} ${id}`);
    if (this.failure) throw this.failure;
    return this.deliveries;
  }
}

export interface TestServer {
  readonly app: FastifyInstance;
  readonly events: EventRing;
  readonly tasks: FakeTasks;
  readonly webhooks: FakeWebhooks;
  readonly log: string[];
  readonly dataDir: string;
  /** What the tests may change while the server runs. */
  readonly state: {
    draining: boolean;
    readiness: Readiness;
    gpus: GpuStatus[];
    models: ModelStatus[];
    /** What is counted of any prompt; null: nobody can tell. */
    promptTokens: number | null;
    running: RunningTask[];
    /** Why no model can be loaded. */
    tooLarge: string | null;
    /** What its store answers, whatever is asked. */
    usage: UsageRow[];
    /** What its store has of the audit log, whatever is asked. */
    auditRows: AuditEntry[];
  };
  /** What operators asked for, in order. */
  /** What was said for the audit log, in order. */
  readonly audited: AuditEvent[];
  readonly operations: (
    | ({ drain: number } & DrainOptions)
    | { resume: number; by: string }
    | { load: readonly number[] }
    | { unload: readonly number[] }
    | { pull: string }
    | { remove: string }
  )[];
}

export function testServer(
  t: TestContext,
  config: Config = testConfig(),
  parts: Partial<ServerParts> = {},
): TestServer {
  const tasks = new FakeTasks();
  const webhooks = new FakeWebhooks();
  const log: string[] = [];
  const audited: AuditEvent[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => log.push(line) });
  const dataDir = temporaryFolder(t);
  const audit: Audit = { record: (event) => void audited.push(event) };
  const state = {
    draining: false,
    readiness: { ready: true, reason: null } as Readiness,
    gpus: [GPU],
    models: [MODEL] as ModelStatus[],
    promptTokens: null,
    running: [] as RunningTask[],
    tooLarge: null as string | null,
    usage: [] as UsageRow[],
    auditRows: [] as AuditEntry[],
  };
  const operations: TestServer["operations"] = [];
  const registry = {
    pull: (source: string, name = source): ModelEntry => {
      operations.push({ pull: source });
      const settings = { name, source, aliases: [], load: "demand", task_types: [] } as const;
      const model = { settings: { ...settings, aliases: [], task_types: [] }, file: null };
      state.models.push({ ...MODEL, name, aliases: [], served: model });
      return { ...model, origin: "pulled", commit: null, licence: null, bytes: null, fetch: null };
    },
    remove: async (name: string): Promise<number | null> => {
      operations.push({ remove: name });
      return null;
    },
  };
  const live = new LiveSettings({ config, read: () => config, dataDir, log: logger });
  const events = new EventRing();
  t.after(() => events.stop());
  const app = createServer({
    config,
    live,
    events,
    tasks,
    webhooks,
    files: allOf([]),
    uploads: { receive: () => Promise.reject(new Error("this server stores no files")), refuseIfFull: () => {} },
    batchFiles: NO_BATCH_FILES,
    usage: {
      sums: async function* () {
        yield state.usage;
      },
    },
    gpus: () => state.gpus,
    models: () => state.models,
    countTokens: async () => state.promptTokens,
    catalog: new ModelCatalog({
      pool: {
        models: () => state.models,
        instances: () => state.gpus.flatMap(({ instances }) => instances),
        prepare: async () => {},
      },
      scheduler: {
        ask: (refs, to) => {
          const on = refs.map(({ gpuId }) => gpuId);
          operations.push(to === "load" ? { load: on } : { unload: on });
        },
        tooLargeFor: () => state.tooLarge,
      },
      gpuIds: () => [GPU.id, CPU_DEVICE.id],
      registry: { entries: () => [], ...registry },
      allowUrls: () => config.models_allow_urls,
    }),
    runningOn: (gpuId) => (gpuId === GPU.id ? state.running : []),
    drainGpu: (gpuId, options) => operations.push({ drain: gpuId, ...options }),
    resumeGpu: (gpuId, by) => operations.push({ resume: gpuId, by }),
    readiness: () => state.readiness,
    draining: () => state.draining,
    forget: async (user: string) => {
      return { user, canceled: 0, tasks: 0, batches: 0, files: 0, answers: 0, usageRows: 0, filesHeld: 0 };
    },
    credentials: new Credentials({ config: config.auth, dataDir, log: logger, audit }),
    audit,
    auditRows: { list: async ({ limit }) => state.auditRows.slice(0, limit) },
    log: logger,
    version: "1.2.3",
    ...parts,
  });
  t.after(() => {
    // What a test has left open on purpose would keep it from closing.
    app.server.closeAllConnections();
    return app.close();
  });
  return { app, audited, events, tasks, webhooks, log, dataDir, state, operations };
}

// --- requests ------------------------------------------------------------------------------------------------------

export function post(app: FastifyInstance, path: string, payload: unknown, headers: Record<string, string> = AS.user) {
  return app.inject({
    method: "POST",
    url: API + path,
    headers: { "content-type": "application/json", ...headers },
    payload: typeof payload === "string" || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
  });
}

/** As `curl -d ""` does it: no body, declared as a form. */
export function postNothing(app: FastifyInstance, path: string, headers: Record<string, string> = AS.user) {
  return post(app, path, "", { ...headers, "content-type": "application/x-www-form-urlencoded" });
}

export function get(app: FastifyInstance, path: string, headers: InjectOptions["headers"] = AS.user) {
  return app.inject({ url: API + path, headers });
}

export function remove(app: FastifyInstance, path: string, headers: Record<string, string> = AS.user) {
  return app.inject({ method: "DELETE", url: API + path, headers });
}

/** The sentence of a refusal, after checking its shape. */
export function refusal(response: LightMyRequestResponse, status: number, code: string, details = {}): string {
  assert.equal(response.statusCode, status, response.body);
  assert.equal(response.headers["content-type"], "application/json; charset=utf-8");
  assert.ok(response.headers["x-request-id"]);
  const { error, ...rest }: { error: string } = response.json();
  assert.deepEqual(rest, { code, ...details });
  return error;
}

/** Lets a server listen. @returns its port */
export async function listening(app: FastifyInstance): Promise<number> {
  await app.listen({ port: 0, host: "127.0.0.1" });
  return (app.server.address() as AddressInfo).port;
}
