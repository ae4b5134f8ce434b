/** The lab: traces, the model of speed, and replays through the scheduler. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Fairness } from "../src/lab/fairness.ts";
import { Histogram } from "../src/lab/histogram.ts";
import { KINDS, made } from "../src/lab/make.ts";
import { traceOf } from "../src/lab/read.ts";
import { times } from "../src/lab/speed.ts";
import type { Result } from "../src/lab/tally.ts";
import type { Trace, TraceRequest } from "../src/lab/trace.ts";
import { runCommand } from "./helpers/command.ts";
import { removeFolder } from "./helpers/remove-folder.ts";
import { ROOT } from "./helpers/server.ts";

const folder = mkdtempSync(join(tmpdir(), "alt-las-lab-"));
after(() => removeFolder(folder));

const HEAD = "at,caller,prompt_tokens,output_tokens";
/** One slot, 100 tokens a second, whatever runs; prompts take no time. */
const SIMPLE = {
  gpu_id: 0,
  slots: 1,
  prompt: null,
  generation: [[1, 100]],
};

function fileOf(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

function speedsOf(name: string, ...gpus: readonly object[]): string {
  return fileOf(name, JSON.stringify({ gpus: gpus.map((gpu, gpu_id) => ({ ...SIMPLE, gpu_id, ...gpu })) }));
}

async function all(trace: Trace): Promise<readonly TraceRequest[]> {
  return (await Array.fromAsync(trace())).flat();
}

/** As the command prints it. */
interface Printed {
  readonly about: string;
  readonly results: readonly (Pick<
    Result,
    "strategy" | "completed" | "refused" | "unserved" | "makespan" | "bound" | "use" | "fairness" | "cached"
  > & {
    readonly waiting: Result["waiting"];
    readonly first_token: Result["firstToken"];
    readonly end_to_end: Result["endToEnd"];
  })[];
}

async function labRun(...args: readonly string[]): Promise<Printed> {
  const { code, stdout, stderr } = await runCommand(["lab", "run", ...args, "--json"], { cwd: folder });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Printed;
}

for (const kind of KINDS)
  test(`lab make writes the same ${kind} trace from the same seed, and lab run reads it as it was made`, async () => {
    const [one, again, other] = await Promise.all(
      ["5", "5", "6"].map((seed) => runCommand(["lab", "make", "--kind", kind, "--tasks", "300", "--seed", seed])),
    );
    assert.equal(one!.stdout, again!.stdout);
    assert.notEqual(one!.stdout, other!.stdout);
    const requests = await all(traceOf(fileOf(`${kind}.csv`, one!.stdout)));
    assert.deepEqual(requests, await all(made({ kind, seed: 5, tasks: 300, rate: 5.5 })));
    assert.equal(requests.length, 300);
  });

test("lab run - replays the trace of standard input with each strategy, as it does one of a file", async () => {
  const { stdout: trace } = await runCommand(["lab", "make", "--kind", "zipf", "--tasks", "200"]);
  const choice = ["--json", "--strategy", "least_loaded,random"];
  const piped = await runCommand(["lab", "run", "-", ...choice], { cwd: folder, input: trace });
  assert.equal(piped.stdout, (await runCommand(["lab", "run", fileOf("piped.csv", trace), ...choice])).stdout);
  const wrong = await runCommand(["lab", "run", "-"], { cwd: folder, input: `${trace}oops\n` });
  assert.match(wrong.stderr, /^standard input, line 202: it must have \d+ cells/);
});

test("two tasks on one slot: the second waits for the first, and all times follow", async () => {
  const trace = fileOf("two.csv", `${HEAD}\n0,anna,10,100\n0.5,bob,10,200\n`);
  const { results } = await labRun(trace, "--speed", speedsOf("simple.json", {}));
  for (const { strategy, makespan, bound, waiting, first_token, end_to_end, use, ...rest } of results) {
    assert.ok(Math.abs(makespan - 3) < 1e-9, strategy);
    assert.ok(Math.abs(bound - 3) < 1e-9, "300 tokens at 100 a second");
    assert.ok(Math.abs(waiting.mean - 0.25) < 1e-9, "none, and half a second");
    assert.ok(Math.abs(first_token.mean - (0.01 + 0.51) / 2) < 1e-9);
    assert.ok(Math.abs(end_to_end.mean - (1 + 2.5) / 2) < 1e-9);
    assert.ok(Math.abs(use - 1) < 1e-9);
    assert.deepEqual([rest.completed, rest.unserved, rest.refused], [2, 0, {}]);
  }
  assert.deepEqual(
    results.map(({ strategy }) => strategy),
    ["round_robin", "least_loaded", "memory_optimized", "task_specific", "random"],
  );
});

test("slots slow each other down by the measured curve, with straight lines between its points", async () => {
  const generation = [
    [1, 100],
    [3, 50],
  ];
  const trace = fileOf("beside.csv", `${HEAD}\n0,anna,0,75\n0,anna,0,75\n`);
  const { results } = await labRun(trace, "--speed", speedsOf("curve.json", { slots: 3, generation }));
  assert.ok(Math.abs(results[0]!.makespan - 1) < 1e-9, "75 tokens at 75 a second each");
});

test("prompts take their time, and what a slot has of one already takes none", async () => {
  const speeds = speedsOf("prompts.json", { prompt: [[1, 1000]], start_seconds: 0.1 });
  const rows = ["0,anna,1000,100,1a.2b", "10,anna,1000,100,1a.2b.3c", "20,anna,1000,100,9"];
  const trace = fileOf("cache.csv", `${HEAD},prefix\n${rows.join("\n")}\n`);
  const { results } = await labRun(trace, "--speed", speeds, "--strategy", "least_loaded");
  const { end_to_end, cached } = results[0]!;
  assert.ok(Math.abs(end_to_end.mean - (2.1 + (2.1 - 0.256) + 2.1) / 3) < 1e-9, "256 tokens were there");
  assert.ok(Math.abs(cached - 256 / 3000) < 1e-9);
});

test("lab run counts what is refused by its code, and says whose speeds these are", async () => {
  const trace = fileOf("long.csv", `${HEAD}\n0,anna,40000,1\n0,anna,10,1\n`);
  const { about, results } = await labRun(trace, "--gpus", "1:2", "--slots", "3", "--strategy", "random");
  assert.match(about, /built-in model "reference".* GPUs of the speeds 1:2 with 3 slots each/);
  assert.deepEqual([results[0]!.completed, results[0]!.refused], [1, { prompt_too_long: 1 }]);
});

test("whatever models a trace names, they count as one", async () => {
  const trace = fileOf("models.csv", `${HEAD},model\n0,anna,10,1,small\n0,anna,10,1,large\n`);
  const { results } = await labRun(trace, "--strategy", "least_loaded");
  assert.deepEqual([results[0]!.completed, results[0]!.refused], [2, {}]);
});

test("lab run takes GPUs, slots and limits from the configuration", async () => {
  const config = fileOf(
    "lab.yaml",
    "gpu:\n  devices: simulated:2\n  multi_gpu:\n    max_concurrent_tasks_per_gpu: 1\n    max_queue_size: 1\n",
  );
  const trace = fileOf("full.csv", `${HEAD}\n${"0,anna,10,100\n".repeat(5)}`);
  const { about, results } = await labRun(trace, "--config", config, "--strategy", "round_robin");
  assert.match(about, /2 GPUs with 1 slot each \(of the configuration\)/);
  assert.deepEqual([results[0]!.completed, results[0]!.refused], [3, { queue_full: 2 }]);
});

test("the table has a column for each strategy and a row for each figure", async () => {
  const trace = fileOf("table.csv", `${HEAD}\n0,anna,10,100\n`);
  const { stdout } = await runCommand(["lab", "run", trace, "--strategy", "least_loaded,push-random"]);
  assert.match(stdout, /^Speeds: the built-in model/);
  for (const line of [
    /^ +least_loaded {2}push-random$/m,
    /^completed +1 +1$/m,
    /^Jain's index +– +–$/m,
    /^refused +0 +0$/m,
  ])
    assert.match(stdout, line);
});

for (const gpus of ["4", "1:2:4"])
  // Waiting is compared in test/wide/lab-strategies.test.ts: that takes more tasks.
  test(`on GPUs ${gpus} least_loaded is within 5 % of the best rule that does not know lengths, and fair`, async () => {
    for (const kind of KINDS) {
      const rate = gpus === "4" ? "5.5" : "9.625";
      const { stdout } = await runCommand([
        "lab",
        "make",
        "--kind",
        kind,
        "--tasks",
        "3000",
        "--seed",
        "7",
        "--rate",
        rate,
      ]);
      const trace = fileOf(`best-${kind}.csv`, stdout);
      const { results } = await labRun(trace, "--gpus", gpus, "--strategy", "least_loaded,random,rules");
      const [own, ...others] = results.filter(({ strategy }) => strategy !== "known-lengths");
      const best = (of: (result: Printed["results"][number]) => number): number => Math.min(...others.map(of));
      const { end_to_end, fairness, completed } = own!;
      const words = `${kind}: ${JSON.stringify(results.map((one) => [one.strategy, one.end_to_end.mean]))}`;
      assert.ok(end_to_end.mean <= 1.05 * best((one) => one.end_to_end.mean), words);
      assert.ok(fairness === null || fairness >= 0.98, `${kind}: ${fairness}`);
      assert.equal(completed, 3000, "nobody starves");
    }
  });

for (const [what, text, problem] of [
  ["unknown columns", "when,tokens\n1,2\n", /, line 1: its columns are of no known format\. Known are ALT_LAS \(at,/],
  ["a column too many", `${HEAD},colour\n1,a,2,3,red\n`, /, line 1: the column "colour" is unknown;/],
  [
    "times that go back",
    `${HEAD}\n1,a,2,3\n\n0.5,a,2,3\n`,
    /, line 4: times must not go back; this one is 0\.5, that of line 2 is 1\./,
  ],
  [
    "negative lengths",
    `${HEAD}\n1,a,-2,3\n`,
    /, line 2: prompt_tokens must be a number of tokens, an integer from 0 on; got "-2"\./,
  ],
  ["no number", `${HEAD}\n1,a,2,many\n`, /, line 2: output_tokens must be .* got "many"\./],
  ["cells that are missing", `${HEAD}\n1,a,2\n`, /, line 2: it must have 4 cells, as the first line has; it has 3\./],
  ["an open quotation mark", `${HEAD}\n1,"a,2,3\n`, /, line 2: a quotation mark is not closed\./],
  [
    "a bad priority",
    `${HEAD},priority\n1,a,2,3,urgent\n`,
    /, line 2: priority must be one of high, normal, low; got "urgent"\./,
  ],
  ["nothing", "", /: it has no requests\./],
  ["a head alone", `${HEAD}\n`, /: it has no requests\./],
  ["broken JSON", '{"timestamp": 1\n', /, line 1: it must be an object of JSON; got/],
  ["unknown keys", '{"timestamp": 1, "length": 2}\n', /, line 1: the key "length" is unknown; known are timestamp,/],
] as const)
  test(`a trace with ${what} is refused with a sentence that has the line`, async () => {
    const { code, stderr } = await runCommand(["lab", "run", fileOf("bad.csv", text)]);
    assert.equal(code, 1);
    assert.match(stderr, problem);
    assert.match(stderr, /^\S+bad\.csv/);
  });

for (const [what, gpus, args, problem] of [
  [
    "more slots than were measured",
    [{ slots: 4 }],
    [],
    /generation of GPU 0 was measured with up to 1 slots in use, but it has 4\./,
  ],
  ["another number of GPUs", [{}, {}, {}], ["--gpus", "2"], /has the speeds of 3 GPUs, but --gpus names 2\./],
  ["slots beyond the file's", [{}], ["--slots", "2"], /--slots must be at most 1, for which .* has speeds; got 2\./],
  ["a curve that is none", [{ generation: [[1, 0]] }], [], /generation of GPU 0 must be pairs of .*; got \[1, 0\]\./],
  ["an unknown key", [{ speed: 3 }], [], /bad\.json: .*gpus\[0\]\.speed/],
] as const)
  test(`a file of speeds that does not fit (${what}) is refused with a sentence`, async () => {
    const trace = fileOf("good.csv", `${HEAD}\n1,a,2,3\n`);
    const { code, stderr } = await runCommand(["lab", "run", trace, "--speed", speedsOf("bad.json", ...gpus), ...args]);
    assert.equal(code, 1);
    assert.match(stderr, problem);
  });

for (const [file, expected] of [
  ["azure-2023.csv", { at: [0, 4.315, 4.542], prompt: [374, 396, 879], output: [44, 109, 55] }],
  ["azure-2024.csv", { at: [0, 0.246, 3], prompt: [1452, 88, 4010], output: [131, 7, 260] }],
  ["burstgpt.csv", { at: [0, 40, 113], prompt: [472, 1087, 417], output: [18, 230, 0] }],
  ["burstgpt-sessions.csv", { at: [0, 40], prompt: [472, 1087], output: [18, 230] }],
  ["mooncake.jsonl", { at: [0, 3.053], prompt: [1700, 1655], output: [52, 26] }],
] as const)
  test(`a trace like ${file} is read and replayed`, async () => {
    const path = join(ROOT, "test/fixtures/traces", file);
    const requests = await all(traceOf(path));
    assert.deepEqual(
      {
        at: requests.map(({ at }) => Math.round(at * 1000) / 1000),
        prompt: requests.map(({ promptTokens }) => promptTokens),
        output: requests.map(({ outputTokens }) => outputTokens),
      },
      expected,
    );
    const { results } = await labRun(path, "--strategy", "least_loaded");
    assert.equal(results[0]!.completed, expected.at.length);
  });

test("prompts of Mooncake that begin alike have the beginning of their prefix in common, and no more", async () => {
  const [one, other] = await all(traceOf(join(ROOT, "test/fixtures/traces/mooncake.jsonl")));
  assert.deepEqual(one!.prefix.slice(0, 12), other!.prefix.slice(0, 12));
  assert.equal(one!.prefix.length, 16);
  assert.notEqual(one!.prefix[12], other!.prefix[12]);
});

test("a histogram knows each share to half a percent, and the mean exactly", () => {
  const histogram = new Histogram();
  for (let value = 1; value <= 10_000; value++) histogram.add(value / 100);
  for (const share of [0.01, 0.5, 0.95, 0.99])
    assert.ok(Math.abs(histogram.quantile(share) / (100 * share) - 1) < 0.006, `${share}`);
  assert.ok(Math.abs(histogram.mean - 50.005) < 1e-9);
  assert.equal(histogram.most, 100);
});

/** What callers got that all waited at once, as one index. @param tokens of each task of each caller */
function jain(tokens: readonly number[], weights: readonly number[]): number | null {
  const fairness = new Fairness((caller) => weights[Number(caller)]!);
  for (let round = 0; round < 30; round++) for (const caller of tokens.keys()) fairness.waits(String(caller));
  for (let round = 0; round < 30; round++)
    for (const [caller, each] of tokens.entries()) fairness.starts(String(caller), each);
  return fairness.index();
}

test("Jain's index counts what callers got while they waited: 1 for even shares by weight, less for uneven ones", () => {
  assert.ok(jain([10, 10], [1, 1])! > 0.999);
  assert.ok(jain([30, 10], [3, 1])! > 0.999);
  assert.ok(jain([30, 10], [1, 1])! < 0.85);
  assert.equal(jain([10], [1]), null);
});

test("a GPU that is twice as fast takes half as long for everything but loading", () => {
  const speed = {
    prompt: [[1, 10]],
    generation: [[1, 5]],
    startSeconds: 1,
    loadSeconds: 4,
    keepsPrompts: true,
  } as const;
  assert.deepEqual(times(2, speed), { ...speed, prompt: [[1, 20]], generation: [[1, 10]], startSeconds: 0.5 });
});
