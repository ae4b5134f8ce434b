/** The lab is true to life: the same trace through the scheduler with simulated engines, and in the lab. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { unset } from "../src/common/clock.ts";
import { seededRandom } from "../src/common/seeded.ts";
import type { Engine } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { factsOf, type LabGpu } from "../src/lab/fleet.ts";
import { replay } from "../src/lab/replay.ts";
import type { TraceRequest } from "../src/lab/trace.ts";
import { completionOf } from "../src/request.ts";
import { Scheduler } from "../src/scheduler/scheduler.ts";
import { newTask, STRATEGIES, type StrategyName, type Task } from "../src/task.ts";
import { SIMULATED } from "./helpers/engines.ts";
import { SETTINGS } from "./helpers/scheduling.ts";
import { VirtualTime } from "./helpers/virtual-time.ts";

const SEED = 3;
/** Tokens a second of each slot, by `gpu_id`. */
const SPEEDS = [125, 50, 62.5];
const SLOTS = 3;

const never = new AbortController().signal;

/** What became of one request; seconds since the beginning of the trace. */
interface Ended {
  readonly gpuId: number;
  readonly started: number;
  readonly ended: number;
}

/** Bursts and pauses, with lengths that let no two events fall together. */
const REQUESTS: readonly TraceRequest[] = Array.from({ length: 30 }, (_, index) => ({
  at: 1.2 * Math.floor(index / 6) + 0.048 * (index % 6),
  caller: `caller${index % 3}`,
  promptTokens: 20 + index,
  outputTokens: 23 + ((index * 37) % 90),
  maxTokens: 23 + ((index * 37) % 90),
  prefix: [],
  model: null,
  taskType: "text_generation",
  priority: "normal",
}));

const FLEET: readonly LabGpu[] = SPEEDS.map((speed) => ({
  slots: SLOTS,
  context: 4096,
  kvBytesPerToken: 0,
  speed: {
    prompt: null,
    generation: [
      [1, speed],
      [SLOTS, speed],
    ],
    startSeconds: 0,
    loadSeconds: 0,
    keepsPrompts: false,
  },
}));

async function inTheLab(strategy: StrategyName): Promise<readonly Ended[]> {
  const found: Ended[] = [];
  await replay(
    async function* () {
      yield REQUESTS;
    },
    {
      gpus: FLEET,
      settings: SETTINGS,
      policy: { name: strategy, strategy },
      seed: SEED,
      firstTokenWithin: 2,
      ended: ({ task, startedAt }, gpuId, now) =>
        void (found[task.seq - 1] = { gpuId, started: startedAt / 1000, ended: now / 1000 }),
    },
  );
  return found;
}

function taskOf(
  { caller, promptTokens, maxTokens }: TraceRequest,
  seq: number,
  strategy: StrategyName,
  now: number,
): Task {
  return newTask({
    id: `task-${seq}`,
    seq,
    user: caller,
    strategy,
    pinnedGpuId: null,
    batchId: null,
    wholeBatch: false,
    webhook: null,
    retryOf: null,
    createdAt: now,
    taskType: "text_generation",
    priority: "normal",
    timeoutSeconds: null,
    model: null,
    request: completionOf("abcd".repeat(promptTokens), { maxTokens: maxTokens! }),
  });
}

async function live(t: TestContext, strategy: StrategyName): Promise<readonly Ended[]> {
  const time = new VirtualTime(t);
  const engines: Engine[] = [];
  for (const [id, tokens_per_second] of SPEEDS.entries()) {
    const simulated = { ...SIMULATED.simulated, tokens_per_second };
    const engine = await createEngine({ ...SIMULATED, slots: SLOTS, simulated }, id);
    await engine.load();
    engines.push(engine);
  }
  const began = performance.now();
  const now = (): number => performance.now() - began;
  const found: Ended[] = [];
  let left = REQUESTS.length;
  const run = async (gpuId: number, task: Task): Promise<void> => {
    const started = now();
    const { finishReason, promptTokens, completionTokens } = await engines[gpuId]!.generate({
      request: task.request!,
      signal: never,
      emit: () => {},
    });
    assert.equal(finishReason, "length");
    const executionTime = (now() - started) / 1000;
    found[task.seq - 1] = { gpuId, started: started / 1000, ended: now() / 1000 };
    left--;
    const result = {
      text: "",
      executionTime,
      timestamp: now(),
      finishReason,
      promptTokens,
      completionTokens,
      cachedTokens: 0,
    };
    scheduler.finished(task, { status: "completed", result });
  };
  const effects = {
    run: ({ gpuId }: { readonly gpuId: number }, task: Task) => void run(gpuId, task),
    cancel: () => {},
    load: () => {},
    unload: () => {},
    changed: () => {},
    alarm: () => {},
  };
  const scheduler = new Scheduler({ ...SETTINGS, isShared: () => true }, effects, unset(now), seededRandom(SEED));
  for (const [id, gpu] of FLEET.entries()) scheduler.setGpu(factsOf(id, gpu, SLOTS));
  for (const [index, request] of REQUESTS.entries())
    setTimeout(() => scheduler.submit([taskOf(request, index + 1, strategy, now())], "single"), request.at * 1000);
  await time.until(() => left === 0);
  for (const engine of engines) await engine.stop();
  return found;
}

for (const strategy of STRATEGIES)
  test(`${strategy}: the lab places each task of a trace as the server does, and ends it at the same time within 5 %`, async (t) => {
    const [inLab, inLife] = [await inTheLab(strategy), await live(t, strategy)];
    assert.deepEqual(
      inLab.map(({ gpuId }) => gpuId),
      inLife.map(({ gpuId }) => gpuId),
    );
    for (const [index, { started, ended }] of inLife.entries()) {
      const { at } = REQUESTS[index]!;
      const lab = inLab[index]!;
      assert.ok(Math.abs(lab.ended - ended) <= 0.05 * (ended - at), `task ${index}: ${lab.ended} and ${ended}`);
      assert.ok(Math.abs(lab.started - started) <= 0.05 * (ended - at), `task ${index}: ${lab.started} and ${started}`);
    }
  });
