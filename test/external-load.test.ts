/** The external load of a GPU, separated from ours, and when it crowds the GPU. All of it is computed: no driver, no clock. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import {
  Crowding,
  MIN_CROWDED_MS,
  OTHERS_EXPIRE_MS,
  OthersMeter,
  type OthersReading,
  type OwnUse,
  releaseBelow,
  UTILIZATION_PATIENCE_MS,
} from "../src/gpu/card/external-load.ts";
import { visiblePids } from "../src/gpu/telemetry/own-pids.ts";
import { type GpuProcess, type GpuSample } from "../src/gpu/telemetry/telemetry.ts";

const GIB = 2 ** 30;
const TOTAL = 80 * GIB;
const OURS = 111;
const THEIRS = 222;

const NOBODY: OwnUse = { pids: new Set(), workers: "none", idleFor: Infinity };
const LOADING: OwnUse = { pids: new Set([OURS]), workers: "loading", idleFor: Infinity };
const DECODING: OwnUse = { pids: new Set([OURS]), workers: "loaded", idleFor: 0 };
const RESTING: OwnUse = { pids: new Set([OURS]), workers: "loaded", idleFor: 2000 };

/** Figures that do not matter are unknown. */
function sample(known: Partial<GpuSample>): GpuSample {
  return {
    uuid: "GPU-a",
    utilization: null,
    memoryTotal: TOTAL,
    memoryUsed: null,
    memoryFree: null,
    temperature: null,
    power: null,
    powerLimit: null,
    energy: null,
    throttle: null,
    processes: null,
    ecc: null,
    ...known,
  };
}

function uses(pid: number, memory: number | null, utilization: number | null): GpuProcess {
  return { pid, memory, utilization };
}

/** A meter, with a clock that stands still unless told otherwise. */
class Scene {
  now = 0;
  readonly meter = new OthersMeter(() => this.now);

  memory(used: number | null, own: OwnUse, processes: readonly GpuProcess[] | null = null): number | null {
    return this.meter.update(sample({ memoryUsed: used, processes }), own).memory;
  }

  /** The same for as long as it takes until the meter believes it. */
  lastingMemory(used: number, own: OwnUse, processes: readonly GpuProcess[] | null = null): number | null {
    for (let i = 0; i < 4; i++) this.memory(used, own, processes);
    return this.memory(used, own, processes);
  }

  utilization(percent: number | null, own: OwnUse, processes: readonly GpuProcess[] | null = null): number | null {
    return this.meter.update(sample({ utilization: percent, processes }), own).utilization;
  }
}

test("where the driver lists processes, the others' memory is what ours does not hold", () => {
  const scene = new Scene();
  const processes = [uses(OURS, 20 * GIB, null), uses(THEIRS, 9 * GIB, null)];
  assert.equal(scene.memory(30 * GIB, DECODING, processes), 10 / 80, "what no process owns up to is not ours");
  assert.equal(scene.meter.footprint, 20 * GIB);
});

test("two workers on one card are both ours", () => {
  const both: OwnUse = { ...DECODING, pids: new Set([OURS, 112]) };
  const processes = [uses(OURS, 30 * GIB, 40), uses(112, 30 * GIB, 40), uses(THEIRS, 8 * GIB, 10)];
  const reading = new Scene().meter.update(sample({ memoryUsed: 68 * GIB, utilization: 90, processes }), both);
  assert.deepEqual([reading.memory, reading.utilization], [0.1, 0.1]);
});

test("every process is shown, with whether it is ours", () => {
  const processes = [uses(OURS, 20 * GIB, 90), uses(THEIRS, null, null)];
  assert.deepEqual(new Scene().meter.update(sample({ processes }), DECODING).users, [
    { pid: OURS, memory: 20 * GIB, utilization: 90, own: true },
    { pid: THEIRS, memory: null, utilization: null, own: false },
  ]);
  assert.equal(new Scene().meter.update(sample({}), DECODING).users, null, "not told is not nobody");
});

/** The three ways in which a driver hides what a worker holds. */
const HIDDEN: readonly (readonly [string, readonly GpuProcess[] | null])[] = [
  ["lists no processes", null],
  ["lists the host's process ids", [uses(7777, 32 * GIB, null)]],
  ["does not tell a process's memory", [uses(OURS, null, null)]],
];

for (const [how, processes] of HIDDEN) {
  test(`where the driver ${how}, ours is what the memory grew by while it loaded, and the rest is others'`, () => {
    const scene = new Scene();
    assert.equal(scene.memory(4 * GIB, NOBODY, processes), 0.05, "before our worker");
    assert.equal(scene.memory(16 * GIB, LOADING, processes), 0.05, "while it loads");
    assert.equal(scene.memory(30 * GIB, DECODING, processes), 0.05, "seen before it had loaded, told after");
    assert.equal(scene.lastingMemory(36 * GIB, DECODING, processes), 0.05, "when it has loaded");
    assert.equal(scene.meter.footprint, 32 * GIB);
    assert.equal(scene.memory(76 * GIB, DECODING, processes), 0.55, "what comes later is not ours");
    assert.equal(scene.memory(36 * GIB, DECODING, processes), 0.05, "and may go again");
  });
}

test("a worker that is replaced between two samples is measured anew, from what the others had", () => {
  const scene = new Scene();
  scene.memory(4 * GIB, NOBODY);
  scene.lastingMemory(36 * GIB, DECODING);
  scene.memory(44 * GIB, DECODING);
  assert.equal(scene.memory(20 * GIB, { ...LOADING, pids: new Set([112]) }), 12 / 80);
  assert.equal(scene.lastingMemory(52 * GIB, { ...DECODING, pids: new Set([112]) }), 12 / 80);
  assert.equal(scene.meter.footprint, 40 * GIB);
  assert.equal(scene.memory(32 * GIB, { ...DECODING, pids: new Set([113]) }), 12 / 80, "also when it loaded meanwhile");
  assert.equal(scene.meter.footprint, 20 * GIB);
});

test("memory that the driver frees late, after our worker's death, is not taken for the others'", () => {
  const scene = new Scene();
  scene.memory(4 * GIB, NOBODY);
  scene.memory(36 * GIB, DECODING);
  assert.equal(scene.memory(36 * GIB, NOBODY), 0.45, "whose it is now nobody can tell");
  assert.equal(scene.memory(4 * GIB, LOADING), 0.05);
  assert.equal(scene.memory(36 * GIB, DECODING), 0.05);
});

test("a worker that had loaded before the first sample does not shut itself out", () => {
  const scene = new Scene();
  assert.equal(scene.lastingMemory(76 * GIB, DECODING), 0);
  assert.equal(scene.memory(80 * GIB, DECODING), 0.05);
});

test("one sample without processes falls back on what the driver said last", () => {
  const scene = new Scene();
  const listed = [uses(OURS, 40 * GIB, 50), uses(THEIRS, 8 * GIB, 10)];
  const told = scene.meter.update(sample({ memoryUsed: 48 * GIB, utilization: 60, processes: listed }), DECODING);
  const silent = scene.meter.update(sample({ memoryUsed: 48 * GIB, utilization: 60, processes: null }), DECODING);
  assert.deepEqual([told.memory, told.utilization], [0.1, 0.1]);
  assert.deepEqual([silent.memory, silent.utilization], [0.1, 0.1]);
});

test("where the driver tells each process's utilization, the others' is the sum of theirs, at most all", () => {
  const scene = new Scene();
  const busy = (theirs: number, more: number) => [uses(OURS, 0, 90), uses(THEIRS, 0, theirs), uses(223, 0, more)];
  assert.equal(scene.utilization(100, DECODING, busy(5, 20)), 0.25);
  assert.equal(scene.utilization(100, DECODING, busy(80, 60)), 1);
  assert.equal(scene.utilization(100, DECODING, [uses(OURS, 0, 100)]), 0);
});

test("what others use is seen while nothing of ours has run for two seconds", () => {
  const scene = new Scene();
  assert.equal(scene.utilization(60, { ...RESTING, idleFor: 1999 }), 0, "it might be ours");
  assert.equal(scene.utilization(60, RESTING), 0.6);
  assert.equal(scene.utilization(100, DECODING), 0.6, "what was seen last still counts");
  scene.now = OTHERS_EXPIRE_MS - 1;
  assert.equal(scene.utilization(100, DECODING), 0.6);
  scene.now = OTHERS_EXPIRE_MS;
  assert.equal(scene.utilization(100, DECODING), 0, "not for ever");
});

test("loading is work of ours, and says nothing of the others", () => {
  assert.equal(new Scene().utilization(80, LOADING), 0);
});

test("a list that may hide processes does not say that nobody uses the GPU", () => {
  assert.equal(new Scene().utilization(60, NOBODY, []), 0.6);
  assert.equal(new Scene().utilization(60, RESTING, [uses(THEIRS, null, 5)]), 0.6);
});

test("one spike just before our tasks begin does not stay with them as the others' load", () => {
  const scene = new Scene();
  scene.utilization(0, RESTING);
  assert.equal(scene.utilization(100, RESTING), 0.5);
  assert.equal(scene.utilization(100, RESTING), 1, "two in a row are no spike");
});

test("a value that the driver does not give is null, never 0", () => {
  const nothing: OthersReading = { memory: null, utilization: null, users: null };
  const { meter } = new Scene();
  assert.deepEqual(meter.update(sample({ memoryTotal: null }), DECODING), nothing);
  assert.equal(meter.footprint, null);
  assert.equal(new Scene().memory(null, DECODING, [uses(OURS, GIB, null)]), null, "memory used");
  assert.equal(meter.update(sample({ memoryUsed: GIB, memoryTotal: null }), DECODING).memory, null, "memory total");
  assert.equal(new Scene().utilization(null, RESTING, [uses(OURS, GIB, null)]), null, "MIG");
});

test("shares stay between 0 and 1, whatever a driver says", () => {
  const amount = fc.option(fc.integer({ min: 0, max: 2 * TOTAL }));
  const percent = fc.option(fc.integer({ min: 0, max: 150 }));
  const pid = fc.constantFrom(OURS, THEIRS);
  const process = fc.record({ pid, memory: amount, utilization: percent });
  const figures = fc.record({
    memoryUsed: amount,
    memoryTotal: amount,
    utilization: fc.option(fc.integer({ min: 0, max: 100 })),
    processes: fc.option(fc.array(process, { maxLength: 3 })),
  });
  const own = fc.constantFrom(NOBODY, LOADING, DECODING, RESTING);
  fc.assert(
    fc.property(fc.array(fc.tuple(figures, own)), (history) => {
      const { meter } = new Scene();
      for (const [known, use] of history) {
        const { memory, utilization } = meter.update(sample(known), use);
        for (const share of [memory, utilization]) assert.ok(share === null || (share >= 0 && share <= 1), `${share}`);
        assert.ok(meter.footprint === null || meter.footprint >= 0);
      }
    }),
  );
});

/** Meter and thresholds together, one sample each half second. */
class Gpu {
  now = 0;
  readonly #meter = new OthersMeter(() => this.now);
  readonly #crowding: Crowding;

  constructor(memory: number, utilization: number) {
    this.#crowding = new Crowding({ memory, utilization });
  }

  /** Lets the GPU be like this for some seconds, and says what came out, without repeats. */
  live(seconds: number, known: Partial<GpuSample>, own: OwnUse): (string | null)[] {
    const said: (string | null)[] = [];
    for (const end = this.now + seconds * 1000; this.now < end; this.now += 500) {
      const { memory, utilization } = this.#meter.update(sample(known), own);
      const crowded = this.#crowding.update(this.now, memory, utilization);
      if (said.length === 0 || said.at(-1) !== crowded) said.push(crowded);
    }
    return said;
  }
}

test("our own model fills 95 % of the memory and decodes at 100 %: the GPU takes tasks", () => {
  const told = [uses(OURS, 76 * GIB, 100)];
  for (const processes of [told, null, []]) {
    const gpu = new Gpu(0.4, 0.5);
    gpu.live(2, { memoryUsed: 0, utilization: 0, processes: [] }, NOBODY);
    gpu.live(2, { memoryUsed: 30 * GIB, utilization: 20, processes: [] }, LOADING);
    assert.deepEqual(gpu.live(300, { memoryUsed: 76 * GIB, utilization: 100, processes }, DECODING), [null]);
  }
});

test("a foreign process that takes half the memory beside our model shuts the GPU until it goes", () => {
  const ours = uses(OURS, 36 * GIB, 100);
  const alone = { memoryUsed: 36 * GIB, utilization: 100 };
  const together = { memoryUsed: 76 * GIB, utilization: 100 };
  for (const told of [true, false]) {
    const gpu = new Gpu(0.4, 0.95);
    const listed = (...processes: GpuProcess[]) => ({ processes: told ? processes : [] });
    gpu.live(1, { memoryUsed: 0, utilization: 0, ...listed() }, NOBODY);
    assert.deepEqual(gpu.live(10, { ...alone, ...listed(ours) }, DECODING), [null]);
    const theirs = uses(THEIRS, 40 * GIB, 0);
    const shut = "memory_taken";
    assert.deepEqual(gpu.live(60, { ...together, ...listed(ours, theirs) }, DECODING), [shut], "at once");
    assert.deepEqual(gpu.live(10, { ...alone, ...listed(ours) }, DECODING), [null], "at once, after so long");
  }
});

test("a foreign process that computes shuts the GPU, in a container as soon as our work has rested", () => {
  const gpu = new Gpu(0.9, 0.5);
  const busy = { memoryUsed: 36 * GIB, utilization: 100, processes: [] };
  gpu.live(1, { memoryUsed: 0, utilization: 0, processes: [] }, NOBODY);
  assert.deepEqual(gpu.live(10, busy, DECODING), [null], "nobody can tell");
  assert.deepEqual(gpu.live(4, busy, RESTING), [null, "used_by_others"]);
  assert.deepEqual(gpu.live(10, { ...busy, utilization: 0 }, RESTING), ["used_by_others", null]);
});

test("a spike of utilization shuts nothing; a second of it does, for five seconds at least", () => {
  const crowding = new Crowding({ memory: 0.9, utilization: 0.95 });
  assert.equal(crowding.update(0, 0, 1), null);
  assert.equal(crowding.update(500, 0, 0.95), null, "at the threshold is not above");
  assert.equal(crowding.update(1000, 0, 1), null);
  assert.equal(crowding.update(1500, 0, 1), null);
  assert.equal(crowding.update(2000, 0, 1), "used_by_others");
  assert.equal(crowding.update(6999, 0, 0), "used_by_others");
  assert.equal(crowding.update(7000, 0, 0), null);
});

test("another threshold counts from the next update on, also for a GPU that is shut", () => {
  const crowding = new Crowding({ memory: 0.9, utilization: 0.95 });
  assert.equal(crowding.update(0, 0.6, 0), null);
  crowding.set({ memory: 0.5, utilization: 0.95 });
  assert.equal(crowding.update(500, 0.6, 0), "memory_taken");
  crowding.set({ memory: 0.8, utilization: 0.95 });
  assert.equal(crowding.update(5000, 0.6, 0), "memory_taken", "it stays shut for five seconds at least");
  assert.equal(crowding.update(5500, 0.6, 0), null);
});

test("one update alone shuts nothing, however long the pause before it", () => {
  const crowding = new Crowding({ memory: 0.9, utilization: 0.95 });
  assert.equal(crowding.update(0, 0, 0), null);
  assert.equal(crowding.update(60_000, 0, 1), null);
  assert.equal(crowding.update(120_000, 0, 1), "used_by_others");
});

test("memory at the line does not open and shut the GPU: it must fall by 0.05", () => {
  const crowding = new Crowding({ memory: 0.5, utilization: 0.95 });
  assert.equal(crowding.update(0, 0.51, 0), "memory_taken");
  assert.equal(crowding.update(10_000, 0.46, 0), "memory_taken");
  assert.equal(crowding.update(20_000, 0.45, 0), null);
  assert.equal(crowding.update(20_500, 0.5, 0), null);
});

test("a small threshold can be fallen below too", () => {
  assert.equal(releaseBelow(0.08), 0.04);
  const nothing = new Crowding({ memory: 0, utilization: 1 });
  assert.equal(nothing.update(0, 0.01, 1), "memory_taken");
  assert.equal(nothing.update(10_000, 0, 1), null);
});

test("a GPU whose figures are not known is not shut by them", () => {
  const crowding = new Crowding({ memory: 0, utilization: 0 });
  for (let now = 0; now < 10_000; now += 500) assert.equal(crowding.update(now, null, null), null);
});

test("nothing opens or shuts faster than the hysteresis, and nothing shuts without a reason, whatever the readings", () => {
  const share = fc.option(fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1)), { freq: 8 });
  const step = fc.record({ pause: fc.integer({ min: 1, max: 3000 }), memory: share, utilization: share });
  const threshold = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), threshold, threshold, (steps, memory, utilization) => {
      const crowding = new Crowding({ memory, utilization });
      let now = 0;
      let shutAt: number | null = null;
      let busySince: number | null = null;
      for (const reading of steps) {
        now += reading.pause;
        const full = reading.memory !== null && reading.memory > memory;
        const busy = reading.utilization !== null && reading.utilization > utilization;
        busySince = busy ? (busySince ?? now) : null;
        const tooMuch = full || (busySince !== null && now - busySince >= UTILIZATION_PATIENCE_MS);
        const crowded = crowding.update(now, reading.memory, reading.utilization);
        if (crowded !== null && shutAt === null) {
          assert.ok(tooMuch, "shut without a reason");
          shutAt = now;
        } else if (crowded === null && shutAt !== null) {
          assert.ok(now - shutAt >= MIN_CROWDED_MS, "opened too early");
          assert.ok(!tooMuch, "opened while above");
          shutAt = null;
        } else if (crowded === null) {
          assert.ok(!tooMuch, "left open while above");
        }
      }
    }),
  );
});

async function procWith(t: TestContext, status: string): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "alt-las-proc-"));
  t.after(() => rm(root, { recursive: true }));
  await mkdir(join(root, "45"));
  await writeFile(join(root, "45", "status"), status);
  return root;
}

test("a worker is known under its number in every PID namespace", async (t) => {
  const root = await procWith(t, "Name:\tnode\nPid:\t45\nNSpid:\t45\t1201\t7\nNSpgid:\t45\t1\n");
  assert.deepEqual(await visiblePids(45, root), [45, 1201, 7]);
});

test("where the kernel does not tell, a worker has the number that we know", async (t) => {
  assert.deepEqual(await visiblePids(45, await procWith(t, "Name:\tnode\nPid:\t45\n")), [45]);
  assert.deepEqual(await visiblePids(46, await procWith(t, "")), [46], "no such process");
});

test("this process is known under its own number", async () => {
  assert.ok((await visiblePids(process.pid)).includes(process.pid));
});
