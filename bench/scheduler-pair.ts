/**
 * The cost of a task in the scheduler, submitted and ended, of this checkout to another one: both in one process, by turns of a fraction of a
 * millisecond, so that whatever else the machine does meets both.
 *
 *     git worktree add /tmp/before COMMIT && ln -s "$PWD/node_modules" /tmp/before
 *     node bench/scheduler-pair.ts /tmp/before [GPUS]
 */
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { seededRandom } from "../src/common/seeded.ts";
import type { Effects } from "../src/scheduler/effects.ts";
import type { Task } from "../src/task.ts";
import { rounded } from "./report.ts";

const SLOTS = 8;
const CALLERS = 20;
/** Tasks until the code is compiled as it is in a server that has run for a while. */
const WARM_UP = 80_000;
/** Tasks of a turn. */
const TURN = 200;
const PAIRS = 4000;

/** Submits and ends so many tasks. */
type Side = (tasks: number) => void;

function none(): void {}

/** GPUs half of whose slots are taken, of one checkout. */
async function sideOf(folder: string, gpus: number): Promise<Side> {
  const from = async <Module>(path: string): Promise<Module> =>
    (await import(pathToFileURL(join(folder, path)).href)) as Module;
  const { Scheduler } = await from<typeof import("../src/scheduler/scheduler.ts")>("src/scheduler/scheduler.ts");
  const { newTask } = await from<typeof import("../src/task.ts")>("src/task.ts");
  const { completionOf } = await from<typeof import("../src/request.ts")>("src/request.ts");
  const { unset } = await from<typeof import("../src/common/clock.ts")>("src/common/clock.ts");
  const { SETTINGS, COMPLETED, factsOf } = await from<typeof import("./scheduler.ts")>("bench/scheduler.ts");
  const running: Task[] = [];
  const run: Effects["run"] = (_instance, task) => void running.push(task);
  const effects: Effects = { run, cancel: none, load: none, unload: none, changed: none, alarm: none };
  const random = seededRandom(1);
  const scheduler = new Scheduler(SETTINGS, effects, unset(Date.now), random);
  for (let id = 0; id < gpus; id++) scheduler.setGpu(factsOf(id));
  let seq = 0;
  const submit = (): void => {
    const known = { strategy: "least_loaded", pinnedGpuId: null, batchId: null, wholeBatch: false } as const;
    const rest = {
      webhook: null,
      retryOf: null,
      createdAt: 0,
      taskType: "text_generation",
      priority: "normal",
    } as const;
    const own = { id: String(++seq), seq, user: `caller${seq % CALLERS}`, timeoutSeconds: null, model: null };
    scheduler.submit([newTask({ ...known, ...rest, ...own, request: completionOf("Sample input text") })], "single");
  };
  for (let left = (gpus * SLOTS) / 2; left > 0; left--) submit();
  return (tasks) => {
    for (let left = tasks; left > 0; left--) {
      const place = Math.floor(random() * running.length);
      const [task] = running.splice(place, 1, running.at(-1)!);
      running.pop();
      scheduler.finished(task!, COMPLETED);
      submit();
    }
  };
}

/** Milliseconds. */
function took(side: Side): number {
  const began = performance.now();
  side(TURN);
  return performance.now() - began;
}

const [folder, gpus = "4"] = process.argv.slice(2);
if (folder === undefined) throw new Error("Name the folder of another checkout.");
const ours = await sideOf(join(import.meta.dirname, ".."), Number(gpus));
const theirs = await sideOf(resolve(folder), Number(gpus));
for (const side of [ours, theirs]) side(WARM_UP);
const pairs = Array.from({ length: PAIRS }, (_, pair) => {
  if (pair % 2 === 0) return [took(ours), took(theirs)] as const;
  const second = took(theirs);
  return [took(ours), second] as const;
});
const at = (values: readonly number[], share: number): number =>
  values.toSorted((one, other) => one - other)[Math.floor(share * values.length)]!;
const micros = (side: 0 | 1): number =>
  rounded(
    (at(
      pairs.map((pair) => pair[side]),
      0.2,
    ) *
      1000) /
      TURN,
    2,
  );
const ratios = pairs.map(([one, other]) => one / other);
console.log(
  `${gpus} GPUs: this checkout's cost of a task to the other one's is ${rounded(at(ratios, 0.5), 3)} in the middle ` +
    `(quarters ${rounded(at(ratios, 0.25), 3)} and ${rounded(at(ratios, 0.75), 3)}); µs ${micros(0)} and ${micros(1)}.`,
);
