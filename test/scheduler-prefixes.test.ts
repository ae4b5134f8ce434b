/** Which GPU a prompt goes to when some of them have its beginning in their KV cache. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { promptWork } from "../src/scheduler/pace.ts";
import { type Cached, Prefixes } from "../src/scheduler/prefixes.ts";
import { STRATEGIES, type Task } from "../src/task.ts";
import { simulate } from "./helpers/prefix-simulation.ts";
import { facts, World } from "./helpers/scheduling.ts";
import { type TaskChanges } from "./helpers/requests.ts";
import { completionOf, factsOf } from "../src/request.ts";

/** Characters in whose steps beginnings are compared. */
const BLOCK = 512;

/** A prompt of whole blocks, one for each letter, and a bit more. */
function promptOf(letters: string, rest = "."): string {
  return [...letters].map((letter) => letter.repeat(BLOCK)).join("") + rest;
}

// --- what is remembered ------------------------------------------------------------------------------------------

const SLOTS = 3;
const letters = fc.array(fc.constantFrom("a", "b"), { maxLength: 4 }).map((all) => all.join(""));
const gpu = fc.nat(2);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("start" as const), gpu, letters }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("end" as const), gpu, which: fc.nat(2), used: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const), gpu }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("ask" as const), letters }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Of one GPU: the prompts that its slots have. */
interface Gpu {
  readonly free: string[];
  readonly taken: Map<Task, string>;
}

/** The same, told with the letters themselves. */
class Slots {
  readonly #world = new World([]);
  readonly #prefixes = new Prefixes<number>();
  readonly #gpus = [0, 1, 2].map((): Gpu => ({ free: [], taken: new Map() }));

  perform(event: Step): void {
    if (event.do === "ask") return this.#ask(event.letters);
    const { free, taken } = this.#gpus[event.gpu]!;
    if (event.do === "clear") {
      this.#gpus[event.gpu] = { free: [], taken: new Map() };
      this.#prefixes.clear(event.gpu);
    } else if (event.do === "start" && taken.size < SLOTS) {
      const task = this.#world.task({ text: promptOf(event.letters, `rest ${taken.size}`) });
      const room = SLOTS - taken.size - 1;
      this.#prefixes.starts(event.gpu, task, room);
      const common = free.map((own) => commonPrefix(own, event.letters));
      const most = Math.max(0, ...common);
      if (most > 0) free.splice(common.indexOf(most), 1);
      else if (free.length > room) free.shift();
      taken.set(task, event.letters);
    } else if (event.do === "end") {
      const [task, own] = [...taken][event.which] ?? [];
      if (task === undefined) return;
      this.#prefixes.ends(event.gpu, task, event.used);
      taken.delete(task);
      if (event.used) free.push(own!);
    }
  }

  #ask(wanted: string): void {
    assert.deepEqual(
      this.#prefixes.of(chainOf(promptOf(wanted))).map((cached) => ({ ...cached, holders: cached.holders.toSorted() })),
      [
        ...this.#having(wanted, true, ({ free }) => free),
        ...this.#having(wanted, false, ({ taken }) => [...taken.values()]),
      ],
    );
  }

  /** Who has how many blocks of a prompt, the longest beginning first. */
  #having(wanted: string, isFree: boolean, of: (gpu: Gpu) => readonly string[]): Cached<number>[] {
    const most = this.#gpus.map((one) => Math.max(0, ...of(one).map((own) => commonPrefix(own, wanted))));
    const lengths = Array.from(wanted, (_, index) => wanted.length - index);
    return lengths
      .map((blocks) => ({
        characters: blocks * BLOCK,
        holders: [0, 1, 2].filter((id) => most[id]! >= blocks),
        spares: isFree ? promptWork(blocks * BLOCK) : 0,
      }))
      .filter(({ holders }) => holders.length > 0);
  }
}

function chainOf(text: string): readonly number[] {
  return factsOf(completionOf(text)).prefix;
}

function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

test("property: what GPUs have of a prompt is what slots have that are given to whoever has most in common, or were free for longest", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100, size: "max" }), (events) => {
      const slots = new Slots();
      for (const event of events) slots.perform(event);
    }),
    { numRuns: 500 },
  );
});

test("what is remembered has bounds: blocks of a prompt, blocks of a GPU, and GPUs for one beginning", () => {
  const prefixes = new Prefixes<number>();
  const world = new World([]);
  const fill = (gpuId: number, text: string): void => {
    const task = world.task({ text });
    prefixes.starts(gpuId, task, 255);
    prefixes.ends(gpuId, task, true);
  };
  const long = (letter: string): string => promptOf(letter + "x".repeat(99));
  for (const letter of "abcdefghi") fill(0, long(letter));
  assert.deepEqual(
    prefixes.of(chainOf(long("b")))[0],
    { characters: 64 * BLOCK, holders: [0], spares: promptWork(64 * BLOCK) },
    "after which prompts are taken for the same",
  );
  assert.deepEqual(prefixes.of(chainOf(long("a"))), [], "eight of these are all that is kept of one GPU");
  for (let id = 1; id <= 20; id++) fill(id, promptOf("z"));
  const last = Array.from({ length: 16 }, (_, index) => index + 5);
  assert.deepEqual(prefixes.of(chainOf(promptOf("z"))), [
    { characters: BLOCK, holders: last, spares: promptWork(BLOCK) },
  ]);
});

// --- what follows for a task -------------------------------------------------------------------------------------

/** Lets a prompt run on a GPU to its end. */
function use(world: World, pinnedGpuId: number, text: string): void {
  world.complete(world.submit({ pinnedGpuId, text }));
}

/** GPUs that prompts go to which are sent one after the other, in worlds with different chances. */
function chosen(prepare: (world: World) => void, changes: TaskChanges, settings = {}): Set<number | null> {
  const seeds = Array.from({ length: 30 }, (_, seed) => seed);
  return new Set(
    seeds.map((seed) => {
      const world = new World(
        [0, 1, 2, 3].map((id) => facts(id, { slots: 8, context: 8192 })),
        settings,
        seed,
      );
      prepare(world);
      return world.submit(changes).gpuId;
    }),
  );
}

test("among equals a task goes to the GPU that has most of its prompt, and its placement says so", () => {
  const world = new World([facts(0, { slots: 20 }), facts(1, { slots: 20 }), facts(2, { slots: 20 })]);
  use(world, 1, promptOf("a"));
  use(world, 2, promptOf("ab"));
  world.submitMany(3, { text: "short" });
  const task = world.submit({ text: promptOf("abc") });
  assert.deepEqual([task.gpuId, world.loads()[2]], [2, 2]);
  // As much as on GPU 0, where one of the short ones runs.
  const least = world.scheduler.instances[0]!.load;
  const reason = { code: "cached_prefix", characters: 1024, within: 0.1, least, equals: 1 };
  assert.deepEqual(task.placement?.reason, reason);
  assert.equal(task.placement?.candidates[0]?.score, Math.round(least * 1000) / 1000);
});

test("only the beginning of a prompt counts, from its first block on", () => {
  const all = new Set([0, 1, 2, 3]);
  assert.deepEqual(
    chosen((world) => use(world, 3, promptOf("abc")), { text: promptOf("ax") }),
    new Set([3]),
  );
  assert.deepEqual(
    chosen((world) => use(world, 3, promptOf("abc")), { text: promptOf("xbc") }),
    all,
  );
  assert.deepEqual(
    chosen((world) => use(world, 3, "a".repeat(511)), { text: "a".repeat(511) }),
    all,
  );
});

test("only least_loaded and task_specific prefer a GPU for what it has, and none does when the configuration says so", () => {
  const prepare = (world: World): void => use(world, 3, promptOf("a"));
  for (const strategy of STRATEGIES) {
    const prefers = strategy === "least_loaded" || strategy === "task_specific";
    const gpus = chosen(prepare, { strategy, text: promptOf("a") });
    assert.equal(gpus.size === 1 && gpus.has(3), prefers, strategy);
  }
  assert.equal(chosen(prepare, { text: promptOf("a") }, { prefixAffinity: false }).size, 4);
});

test("of several GPUs that have as much, the least loaded takes the task, at random among equals", () => {
  const prepare = (world: World): void => {
    for (const id of [1, 2, 3]) use(world, id, promptOf("a"));
    for (const id of [0, 3]) world.submit({ pinnedGpuId: id, text: "other" });
  };
  assert.deepEqual(chosen(prepare, { text: promptOf("a") }), new Set([1, 2]));
});

test("a free slot that has a prompt counts for more than one that works on it, which counts for more than none", () => {
  const world = new World([0, 1, 2].map((id) => facts(id, { slots: 64 })));
  use(world, 2, promptOf("a"));
  world.submit({ pinnedGpuId: 1, text: promptOf("ab") });
  const tasks = world.submitMany(3, { text: promptOf("ab") });
  assert.deepEqual(
    tasks.map(({ gpuId }) => gpuId),
    [2, 1, 2],
    "the second finds no free slot that has it; of the two GPUs that work on it then, the one with less load takes the third",
  );
});

test("what a GPU had is forgotten when its worker is gone, and what it never computed is not remembered", () => {
  const all = new Set([0, 1, 2, 3]);
  const text = promptOf("ab");
  const forgets = (prepare: (world: World) => void): void => {
    assert.deepEqual(chosen(prepare, { text }), all);
  };
  for (const state of ["starting", "drained", "unfit", "faulted", "lost"] as const) {
    forgets((world) => {
      use(world, 3, text);
      world.tell({ ...world.factsOf(3), state });
      world.recover(3);
    });
  }
  for (const reason of ["gpu_lost", "worker_crash", "gpu_drained", "worker_stopped"] as const) {
    forgets((world) => {
      use(world, 3, text);
      world.interrupt(3, reason);
      world.recover(3);
    });
  }
  forgets((world) => {
    const task = world.submit({ pinnedGpuId: 3, text });
    world.scheduler.finished(task, { status: "interrupted", reason: "gpu_full", sentence: "No room." });
    world.scheduler.cancel([task]);
    if (task.status === "running") world.scheduler.finished(task, { status: "canceled" });
  });
  const kept = (world: World): void => {
    use(world, 3, text);
    world.tell({ ...world.factsOf(3), state: "hot" });
    world.recover(3);
  };
  assert.deepEqual(chosen(kept, { text }), new Set([3]), "a GPU that is hot keeps its worker");
});

test("a batch that is refused leaves no trace of where it would have gone", () => {
  const text = promptOf("a");
  const refused = (world: World): void => {
    world.tell(facts(4, { state: "drained", slots: 8 }));
    world.submit({ pinnedGpuId: 4 });
    assert.throws(() => world.batch(40, "split", { text }), { code: "queue_full" });
  };
  assert.equal(chosen(refused, { text }, { maxQueueSize: 8 }).size, 4);
});

// --- what it must not do -----------------------------------------------------------------------------------------

test("property: where no GPU has any of the prompts, the choices are the same as without affinity", () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.integer(), lengths, (seed, blocks) => {
      const run = (prefixAffinity: boolean): unknown[] => {
        const world = new World(
          [0, 1, 2].map((id) => facts(id, { slots: 8 })),
          { prefixAffinity },
          seed,
        );
        // Their first characters tell them apart.
        return blocks.map((count, index) => world.submit({ text: `${index} ${"x".repeat(count * BLOCK)}` }).placement);
      };
      assert.deepEqual(run(true), run(false));
    }),
  );
});

test("property: the same prompt for all never goes to a GPU with a load more than 0.1 above the least", () => {
  const gpus = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(gpus, fc.integer({ min: 1, max: 100 }), fc.integer(), fc.boolean(), (slots, tasks, seed, ends) => {
      const all = slots.map((count, id) => facts(id, { slots: count }));
      const world = new World(all, { maxQueueBytes: Infinity }, seed);
      for (let i = 0; i < tasks; i++) {
        const before = world.scheduler.instances.map(({ load }) => load);
        const task = world.submit({ text: promptOf("abc") });
        if (task.gpuId !== null) assert.ok(before[task.gpuId]! <= Math.min(...before) + 0.1 + 1e-9, `${before.join()}`);
        if (ends && i % 3 === 0) world.complete(world.started.find(({ status }) => status === "running")!);
      }
    }),
  );
});

test("a burst of one prompt spreads over all GPUs, which have one task more at most", () => {
  for (const text of [promptOf("abc"), promptOf("a")]) {
    const world = new World([0, 1, 2, 3].map((id) => facts(id, { slots: 8 })));
    use(world, 2, text);
    world.submitMany(16, { text });
    assert.deepEqual(world.loads(), [4, 4, 4, 4]);
    world.batch(8, "split", { text });
    assert.deepEqual(world.loads(), [6, 6, 6, 6]);
  }
});

// --- what it is good for -----------------------------------------------------------------------------------------

test("simulation: with beginnings of 1,000 tokens that several prompts share, four GPUs find more in their caches, and no one waits longer", () => {
  const seeds = [1, 2, 3];
  for (const load of [0.5, 0.85]) {
    for (const seed of seeds) {
      const scenario = { gpus: 4, slots: 8, groups: 8, tasks: 1500, load, seed };
      const [without, with_] = [simulate(scenario, false), simulate(scenario, true)];
      assert.ok(with_.hitRate > 1.1 * without.hitRate, `${with_.hitRate} and ${without.hitRate}`);
      assert.ok(with_.p99Wait <= without.p99Wait, `${with_.p99Wait} and ${without.p99Wait}`);
    }
  }
});

test("simulation: a beginning that all prompts share is found no less often, and no one waits longer", () => {
  const scenario = { gpus: 4, slots: 8, groups: 1, tasks: 1000, load: 0.85, seed: 1 };
  const [without, with_] = [simulate(scenario, false), simulate(scenario, true)];
  assert.ok(
    with_.hitRate >= without.hitRate - 0.001 && without.hitRate > 0.8,
    `${with_.hitRate} and ${without.hitRate}`,
  );
  assert.ok(with_.p99Wait <= without.p99Wait);
});
