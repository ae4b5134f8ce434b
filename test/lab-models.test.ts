/** The lab with several models: the serving scheduler places, loads and unloads them as on a real server. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { runCommand } from "./helpers/command.ts";
import { testFolder } from "./helpers/store.ts";

const HEAD = "at,caller,prompt_tokens,output_tokens,model";

/** One slot, 100 tokens a second; prompts take no time. */
const SPEEDS = { slots: 1, prompt: null, generation: [[1, 100]], start_seconds: 0, load_seconds: 2 };

interface Result {
  readonly completed: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly loads: number;
  readonly reloads: number;
  readonly makespan: number;
  readonly longest_wait: number;
  readonly waiting: { readonly mean: number };
  readonly by_gpu: readonly number[];
}

interface LabRun {
  readonly config: string;
  readonly rows: readonly string[];
  readonly speeds?: readonly object[];
  readonly head?: string;
  readonly strategy?: string;
}

async function run(t: TestContext, { config, rows, speeds, head = HEAD, strategy = "least_loaded" }: LabRun) {
  const folder = testFolder(t);
  const fileOf = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const args = ["lab", "run", fileOf("trace.csv", [head, ...rows, ""].join("\n"))];
  args.push("--config", fileOf("config.yaml", config), "--strategy", strategy, "--json");
  if (speeds !== undefined) args.push("--speed", fileOf("speeds.json", JSON.stringify({ gpus: speeds })));
  const { code, stdout, stderr } = await runCommand(args);
  if (code !== 0) return { stderr, about: "", results: [] };
  return { stderr, ...(JSON.parse(stdout) as { about: string; results: Result[] }) };
}

/** A GPU of 8 GB for models of 5 GB: one at a time. */
function configOf(models: string, devices = "[{ gpu: simulated:1, memory_bytes: 8000000000 }]"): string {
  return `gpu: { devices: ${devices} }\nengine: { kind: simulated }\nmodels:\n${models}`;
}

function modelOf(name: string, more = ""): string {
  return `  - { name: ${name}, engine: { memory_bytes: 5000000000, load_seconds: 2 }${more} }\n`;
}

const TWO = modelOf("one") + modelOf("two", ", load: demand, aliases: [deux], task_types: [second]");

test("a model that is wanted is loaded in the place of another one, and again when that is wanted back", async (t) => {
  const rows = ["0,anna,10,100,one", "100,anna,10,100,two", "200,anna,10,100,one", "300,anna,10,100,one"];
  const { about, results } = await run(t, {
    config: configOf(TWO),
    rows,
    speeds: [{ gpu_id: 0, ...SPEEDS, gpu_memory_bytes: 8e9 }],
  });
  assert.match(about, /Models: one \(4\.7 GiB\), two \(4\.7 GiB\); a GPU has room for 7\.5 GiB\./);
  const [{ completed, loads, reloads, makespan, waiting }] = results as [Result];
  assert.deepEqual([completed, loads, reloads], [4, 2, 1]);
  assert.ok(Math.abs(makespan - 301) < 1e-6, `${makespan}`);
  assert.ok(Math.abs(waiting.mean - (2 + 2) / 4) < 0.01, "two of four waited for a load of 2 s");
});

test("a model that tasks keep wanting makes room after half a minute, and comes back", async (t) => {
  // As many as it can do: some of them always wait.
  const busy = Array.from({ length: 80 }, (_, index) => `${10 + index},anna,10,100,two`);
  const rows = [...busy.slice(0, 10), "20,bob,10,100,one", ...busy.slice(10)];
  const { results } = await run(t, {
    config: configOf(TWO),
    rows,
    speeds: [{ gpu_id: 0, ...SPEEDS, gpu_memory_bytes: 8e9 }],
  });
  const [{ completed, loads, reloads, longest_wait }] = results as [Result];
  assert.deepEqual([completed, loads, reloads], [81, 3, 2]);
  assert.ok(longest_wait >= 30 && longest_wait < 40, `${longest_wait}`);
});

test("models whose GPU has room for both are loaded once, and share its slots", async (t) => {
  const devices = "[{ gpu: simulated:1, memory_bytes: 12000000000 }]";
  const rows = ["0,anna,10,100,one", "0,anna,10,100,two", "60,anna,10,100,two", "61,anna,10,100,one"];
  const speeds = [{ gpu_id: 0, ...SPEEDS, gpu_memory_bytes: 12e9 }];
  const { results } = await run(t, { config: configOf(TWO, devices), rows, speeds });
  const [{ completed, loads, reloads, makespan }] = results as [Result];
  assert.deepEqual([completed, loads, reloads], [4, 1, 0]);
  assert.ok(Math.abs(makespan - 62) < 1e-6, `one slot for both, ${makespan}`);
});

test("aliases and types of tasks mean a model, and one that is not there is refused", async (t) => {
  const head = `${HEAD},task_type`;
  const rows = ["0,a,10,100,deux,x", "50,a,10,100,,second", "60,a,10,100,three,x", "70,a,10,100,,x"];
  const { results } = await run(t, {
    config: configOf(TWO),
    rows,
    head,
    speeds: [{ gpu_id: 0, ...SPEEDS, gpu_memory_bytes: 8e9 }],
  });
  const [{ completed, refused, loads }] = results as [Result];
  assert.deepEqual([completed, refused, loads], [3, { model_not_found: 1 }, 1]);
});

test("keep_alive unloads what nothing uses, and it is loaded again when it is wanted", async (t) => {
  const config = configOf(modelOf("one", ", keep_alive: 5"));
  const rows = ["0,anna,10,100,one", "3,anna,10,100,one", "20,anna,10,100,one"];
  const { results } = await run(t, { config, rows, speeds: [{ gpu_id: 0, ...SPEEDS }] });
  const [{ completed, loads, reloads, makespan }] = results as [Result];
  assert.deepEqual([completed, loads, reloads], [3, 1, 1]);
  assert.ok(Math.abs(makespan - 23) < 1e-6, `${makespan}`);
});

test("a model stays on the GPUs that the configuration names for it, with each strategy and rule", async (t) => {
  const config = configOf(modelOf("one", ", gpus: [0]") + modelOf("two", ", gpus: [1, 2]"), "simulated:3");
  const rows = Array.from({ length: 30 }, (_, index) => `${index},anna,10,50,${index % 3 === 0 ? "one" : "two"}`);
  const { results } = await run(t, { config, rows, strategy: "all,baselines,rules" });
  assert.ok(results.length > 12);
  for (const { completed, by_gpu } of results) {
    assert.equal(completed, 30);
    assert.equal(by_gpu[0], 10);
  }
});

test("each model has the speeds that were measured of it, on the GPU where they were", async (t) => {
  const speeds = [
    { gpu_id: 0, model: "one", ...SPEEDS },
    { gpu_id: 0, model: "two", ...SPEEDS, generation: [[1, 50]] },
  ];
  const { results } = await run(t, {
    config: configOf(TWO, "simulated:1"),
    rows: ["0,a,1,100,one", "9,a,1,100,two"],
    speeds,
  });
  assert.ok(Math.abs(results[0]!.makespan - (9 + 2 + 2)) < 1e-6, `${results[0]!.makespan}`);
});

for (const [what, { models, speeds, problem }] of Object.entries({
  "speeds of one model alone": {
    models: TWO,
    speeds: [
      { gpu_id: 0, model: "one", ...SPEEDS },
      { gpu_id: 0, model: "three", ...SPEEDS },
    ],
    problem:
      /has no speeds of the model two on GPU 0, only of one, three\. Measure it with lab calibrate --model two\./,
  },
  "speeds of several where the configuration has none": {
    models: null,
    speeds: [
      { gpu_id: 0, model: "one", ...SPEEDS },
      { gpu_id: 0, model: "two", ...SPEEDS },
    ],
    problem:
      /has the speeds of several models of GPU 0 \(one, two\), and the configuration has none: name them under models\./,
  },
  "the same model twice": {
    models: TWO,
    speeds: [
      { gpu_id: 0, model: "one", ...SPEEDS },
      { gpu_id: 0, model: "one", ...SPEEDS },
    ],
    problem: /GPU 0 is there 2 times, so each must name another model; got "one"\./,
  },
  "a model that is larger than the GPU": {
    models: TWO,
    speeds: [{ gpu_id: 0, ...SPEEDS, gpu_memory_bytes: 4e9 }],
    problem: /The model one needs 4\.7 GiB, and no GPU has more than 3\.7 GiB left for it\./,
  },
  "a GPU that is not there": {
    models: modelOf("one", ", gpus: [3]"),
    speeds: [{ gpu_id: 0, ...SPEEDS }],
    problem: /models\[0\] \(one\)\.gpus names GPU 3; the lab's GPUs are 0 to 0\./,
  },
}))
  test(`${what}: lab run says in a sentence that they do not fit`, async (t) => {
    const config = models === null ? "gpu: { devices: simulated:1 }\n" : configOf(models, "simulated:1");
    const { stderr } = await run(t, { config, rows: ["0,a,1,1,one"], speeds });
    assert.match(stderr, problem);
  });
