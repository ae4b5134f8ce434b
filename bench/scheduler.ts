/** What a decision costs: plain calls on the scheduler, without a server, over numbers of GPUs and of queued tasks. */
import { randomUUIDv7 } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Need, completionOf } from "../src/request.ts";
import { unset } from "../src/common/clock.ts";
import { type GpuFacts, type InstanceFacts } from "../src/gpu/facts.ts";
import { type CallerLimits } from "../src/scheduler/callers.ts";
import { type Effects, type SchedulerSettings } from "../src/scheduler/effects.ts";
import { Scheduler } from "../src/scheduler/scheduler.ts";
import { newTask, type Outcome, PRIORITIES, STRATEGIES, type Task } from "../src/task.ts";
import { type Bar, type Extent, median, percentile, type Row, rounded, type Section } from "./report.ts";

const GPUS = [1, 10, 100, 1000];
const QUEUED = [1000, 10_000, 100_000, 1_000_000];
const SLOTS = 8;
const CALLERS = Array.from({ length: 20 }, (_, index) => `caller${index}`);
/** Calls until the code is compiled as it is in a server that has run for a while. */
const WARM_UP = 30_000;
/** Submitted at once while a queue is filled. */
const BATCH = 1000;
/** The document's own example. One string for all tasks, so that what they take is counted without it. */
const TEXT = "Sample input text";
/** Characters of a long prompt, about 1,000 tokens. */
const LONG = 4000;
const BEGINNINGS = Array.from({ length: 20 }, (_, index) => `${index} `.repeat(1000).slice(0, 3000));

const NO_LIMITS: CallerLimits = {
  weight: 1,
  maxQueued: null,
  maxQueuedKey: "callers.defaults.max_queued",
  maxRunning: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
};

export const SETTINGS: SchedulerSettings = {
  maxQueueSize: Infinity,
  maxQueueBytes: Infinity,
  maxQueueHeap: Infinity,
  minBatchSizePerGpu: 1,
  mappings: new Map(),
  maxAttempts: 3,
  retryBackoff: 1,
  ageingSeconds: 60,
  queueTimeout: null,
  prefixAffinity: true,
  limitsOf: () => NO_LIMITS,
  isShared: () => false,
};

export const COMPLETED: Outcome = {
  status: "completed",
  result: {
    text: "",
    executionTime: 1,
    timestamp: 0,
    finishReason: "length",
    promptTokens: 4,
    completionTokens: 128,
    cachedTokens: 0,
  },
};

/** GPUs with tasks, in a world where each call is timed by itself. */
class World {
  readonly scheduler: Scheduler;
  readonly #running: Task[] = [];
  #seq = 0;

  constructor(gpus: number) {
    const effects: Effects = {
      run: (_instance, task) => void this.#running.push(task),
      cancel: () => {},
      load: () => {},
      unload: () => {},
      changed: () => {},
      alarm: () => {},
    };
    this.scheduler = new Scheduler(SETTINGS, effects, unset(Date.now), Math.random);
    for (let id = 0; id < gpus; id++) this.scheduler.setGpu(factsOf(id));
  }

  task(shared: Partial<Pick<Task, "user" | "strategy" | "pinnedGpuId">> = {}, text = TEXT): Task {
    const seq = ++this.#seq;
    return newTask({
      user: CALLERS[seq % CALLERS.length]!,
      strategy: "least_loaded",
      pinnedGpuId: null,
      batchId: null,
      wholeBatch: false,
      webhook: null,
      retryOf: null,
      createdAt: Date.now(),
      ...shared,
      request: completionOf(text),
      taskType: "text_generation",
      priority: PRIORITIES[seq % PRIORITIES.length]!,
      timeoutSeconds: null,
      model: null,
      id: inOnePiece(randomUUIDv7()),
      seq,
    });
  }

  /** Lets so many tasks of all callers wait, or run where there are slots. @param pinnedGpuId null: they may go anywhere */
  fill(tasks: number, pinnedGpuId: number | null = null): void {
    for (let left = tasks; left > 0; left -= BATCH) {
      const user = CALLERS[Math.ceil(left / BATCH) % CALLERS.length]!;
      const batch = Array.from({ length: Math.min(BATCH, left) }, () => this.task({ user, pinnedGpuId }));
      this.scheduler.submit(batch, "split");
    }
  }

  /** Ends a running task. @returns µs, with all that follows at once */
  finish(): number {
    const place = Math.floor(Math.random() * this.#running.length);
    const task = this.#running[place]!;
    this.#running[place] = this.#running.at(-1)!;
    this.#running.pop();
    const started = performance.now();
    this.scheduler.finished(task, COMPLETED);
    return (performance.now() - started) * 1000;
  }

  /** Submits a task. @returns µs */
  submit(task: Task): number {
    const started = performance.now();
    this.scheduler.submit([task], "single");
    return (performance.now() - started) * 1000;
  }
}

/** µs of single calls, of a scheduler with so many GPUs and tasks that wait. */
interface Cell {
  readonly gpus: number;
  readonly queued: number;
  /** A task is submitted while half of all slots are free. */
  readonly submitted: readonly number[];
  /** A task ends while all slots are taken, and the one whose turn it is gets its slot. */
  readonly freed: readonly number[];
  /** Bytes of the heap for each waiting task, beside its text. */
  readonly bytes: number;
}

/** The curve, over numbers of GPUs and of queued tasks. */
export async function placement({ quick }: Extent): Promise<Section> {
  const depths = quick ? QUEUED.slice(0, -1) : QUEUED;
  const samples = quick ? 2000 : 10_000;
  measureGpus(1000, [1000], WARM_UP);
  const cells = GPUS.flatMap((gpus) => measureGpus(gpus, depths, samples));
  const at = (gpus: number, queued: number): Cell =>
    cells.find((cell) => cell.gpus === gpus && cell.queued === queued)!;
  const most = depths.at(-1)!;
  const [few, full, many] = [at(1000, 1000), at(1000, 100_000), at(1000, most)];
  return {
    name: "scheduler: placement",
    about:
      `µs of one placement with its reasons: of a task that is submitted while half of the ${SLOTS} slots of each GPU are free, and of the end ` +
      `of a task while all are taken, upon which the next one starts. ${CALLERS.length} callers, all priorities, least_loaded; ${samples} calls ` +
      `each. Heap: of a waiting task with its place in the queue, after garbage collection, without its text.`,
    rows: cells.map(rowOf),
    bars: [
      atMost20("submitted, 1000 GPUs, 100000 queued", full.submitted),
      atMost20("slot freed, 1000 GPUs, 100000 queued", full.freed),
      {
        what: "ns for each further GPU, submitted, 100000 queued",
        measured: ((median(full.submitted) - median(at(1, 100_000).submitted)) / 999) * 1000,
        atMost: 20,
      },
      growth("submitted", few, many, ({ submitted }) => submitted),
      growth("slot freed", few, many, ({ freed }) => freed),
      { what: `heap bytes of a waiting task, ${most} queued`, measured: many.bytes, atMost: 1024 },
    ],
  };
}

/** Each strategy, and prompts whose beginnings GPUs may have in their KV caches. */
export async function strategies({ quick }: Extent): Promise<Section> {
  const samples = quick ? 2000 : 10_000;
  const cases = [
    ...STRATEGIES.map((strategy) => ({ strategy, length: TEXT.length })),
    { strategy: "least_loaded" as const, length: LONG },
  ];
  const found = cases.map(({ strategy, length }) => {
    const world = halfFull(1000);
    const text = (): string => (length === LONG ? longText() : TEXT);
    const submitted = Array.from({ length: WARM_UP + samples }, () => {
      world.finish();
      return world.submit(world.task({ strategy }, text()));
    });
    return { strategy, length, submitted: submitted.slice(WARM_UP) };
  });
  return {
    name: "scheduler: strategies",
    about: `As above, of a task that is submitted to 1000 GPUs; ${samples} calls each. The long prompts begin in one of ${BEGINNINGS.length} ways.`,
    rows: found.map(({ strategy, length, submitted }) => ({
      strategy,
      "characters of the prompt": length,
      "submitted p50 µs": rounded(median(submitted), 1),
      "submitted p99 µs": rounded(percentile(submitted, 0.99), 1),
    })),
    // What a long prompt takes beyond that is for looking at its characters.
    bars: found
      .filter(({ length }) => length < LONG)
      .map(({ strategy, submitted }) => atMost20(`submitted, 1000 GPUs, ${strategy}`, submitted)),
  };
}

export const SCHEDULER = [placement, strategies];

function atMost20(what: string, micros: readonly number[]): Bar {
  return { what: `median µs, ${what}`, measured: median(micros), atMost: 20 };
}

/** What grows with the logarithm of the tasks at most. */
function growth(what: string, few: Cell, many: Cell, of: (cell: Cell) => readonly number[]): Bar {
  return {
    what: `median µs, ${what}: ratio of ${many.queued} queued to ${few.queued}`,
    measured: median(of(many)) / median(of(few)),
    atMost: Math.log(many.queued) / Math.log(few.queued),
  };
}

function rowOf({ gpus, queued, submitted, freed, bytes }: Cell): Row {
  return {
    GPUs: gpus,
    queued,
    "submitted p50 µs": rounded(median(submitted), 1),
    "submitted p99 µs": rounded(percentile(submitted, 0.99), 1),
    "slot freed p50 µs": rounded(median(freed), 1),
    "slot freed p99 µs": rounded(percentile(freed, 0.99), 1),
    "heap bytes a task": Math.round(bytes),
  };
}

function measureGpus(gpus: number, depths: readonly number[], samples: number): Cell[] {
  const submitted = measureSubmitted(gpus, depths, samples);
  const freed = measureFreed(gpus, depths, samples);
  return depths.map((queued, index) => ({ gpus, queued, submitted: submitted[index]!, ...freed[index]! }));
}

/** What waits is pinned to a GPU that has to cool down: so it waits beside free slots. */
function measureSubmitted(gpus: number, depths: readonly number[], samples: number): number[][] {
  const world = halfFull(gpus);
  world.scheduler.setGpu(factsOf(gpus, { state: "hot" }));
  return depths.map((depth) => {
    world.fill(depth - world.scheduler.queueSize, gpus);
    return Array.from({ length: samples }, () => {
      world.finish();
      return world.submit(world.task());
    });
  });
}

/** GPUs of which half of all slots are free. */
function halfFull(gpus: number): World {
  const world = new World(gpus);
  for (let i = 0; i < (gpus * SLOTS) / 2; i++) world.submit(world.task());
  return world;
}

function longText(): string {
  const beginning = BEGINNINGS[Math.floor(Math.random() * BEGINNINGS.length)]!;
  return inOnePiece(`${beginning}${Math.random()}`.padEnd(LONG, "."));
}

function measureFreed(gpus: number, depths: readonly number[], samples: number): Pick<Cell, "freed" | "bytes">[] {
  const world = new World(gpus);
  world.fill(gpus * SLOTS);
  return depths.map((depth) => {
    const added = depth - world.scheduler.queueSize;
    const before = heapUsed();
    world.fill(added);
    const bytes = (heapUsed() - before) / added;
    const freed = Array.from({ length: samples }, () => {
      world.submit(world.task());
      return world.finish();
    });
    return { freed, bytes };
  });
}

/** As it is once it was written to disk; what is made of pieces takes the room of all of them. */
function inOnePiece(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

/** A GPU with one model that is there. */
export function factsOf(id: number, changes: Partial<InstanceFacts> = {}): GpuFacts {
  const instance: InstanceFacts = {
    id: 0,
    model: "model",
    modelName: "model",
    can: new Set<Need>(["completion"]),
    state: "ready",
    reason: null,
    isFetching: false,
    crowded: null,
    slots: SLOTS,
    context: 8192,
    kvBytesPerToken: 131_072,
    maxTokenBytes: 64,
    residency: { memory: null, fileBytes: 0, loadSeconds: null, pinned: true },
    successor: null,
    retired: false,
  };
  return {
    id,
    memoryFree: 2 ** 33,
    othersUtilization: 0,
    mostTasks: null,
    memory: null,
    instances: [{ ...instance, ...changes }],
  };
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes, after garbage collection. */
function heapUsed(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
