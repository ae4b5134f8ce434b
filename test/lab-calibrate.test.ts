/** `alt-las lab calibrate`: speeds of a real server, measured over HTTP, as `lab run --speed` reads them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stepsOf } from "../src/lab/calibrate/calibrate.ts";
import { errorOf, fitOf, type Sample } from "../src/lab/calibrate/fit.ts";
import { readSpeeds, type SpeedFile } from "../src/lab/speed-file.ts";
import { runCommand } from "./helpers/command.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { testFolder } from "./helpers/store.ts";

/** Tasks of many shapes, at these speeds. */
function samplesAt(start: number, perPrompt: number, perAnswer: number, noise = 0): Sample[] {
  return Array.from({ length: 30 }, (_, index) => {
    const [prompt, answer] = [10 + ((index * 97) % 900), 4 + ((index * 31) % 60)];
    const seconds = (start + prompt * perPrompt + answer * perAnswer) * (1 + noise * (index % 2 === 0 ? 1 : -1));
    return { prompt, answer, seconds };
  });
}

test("a fit finds the speeds that tasks ran at, and how far off it is", () => {
  for (const [start, perPrompt, perAnswer] of [
    [0.05, 0.001, 0.02],
    [0, 0.002, 0.01],
    [0.3, 0, 0.02],
  ] as const) {
    const samples = samplesAt(start, perPrompt, perAnswer);
    for (const fit of [fitOf(samples), fitOf(samples, start)]) {
      assert.ok(Math.abs(fit.start - start) < 1e-6);
      assert.ok(Math.abs(fit.perPrompt - perPrompt) < 1e-8);
      assert.ok(Math.abs(fit.perAnswer - perAnswer) < 1e-7);
      assert.ok(errorOf(fit, samples) < 1e-4);
    }
  }
  const noisy = samplesAt(0.05, 0.001, 0.02, 0.1);
  const off = errorOf(fitOf(noisy), noisy);
  assert.ok(off > 0.05 && off < 0.15, `${off}`);
});

test("tasks that all have one shape tell no speed of prompts, and no figure below 0 comes out", () => {
  const alike = Array.from({ length: 9 }, () => ({ prompt: 100, answer: 10, seconds: 1 }));
  const { start, perPrompt, perAnswer } = fitOf(alike);
  assert.ok(start >= 0 && perPrompt >= 0 && perAnswer >= 0);
  assert.ok(Math.abs(start + 100 * perPrompt + 10 * perAnswer - 1) < 1e-6);
});

test("slots are measured by twos, and all of them", () => {
  assert.deepEqual(stepsOf(1), [1]);
  assert.deepEqual(stepsOf(6), [1, 2, 4, 6]);
  assert.deepEqual(stepsOf(8), [1, 2, 4, 8]);
});

test("lab calibrate measures the GPUs of a running server, and lab run takes what it writes", async (t) => {
  const config = `
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 2 } }
    engine: { simulated: { tokens_per_second: 400 } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:2" });
  await server.loaded();
  const env = { ALT_LAS_API_KEY: server.key };
  const { code, stdout, stderr } = await runCommand(["lab", "calibrate", "--url", server.url], { env });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^GPU 1, 2 of 2 slots: .*answers \S+ tokens\/s each$/m);
  const file = join(testFolder(t), "speeds.json");
  writeFileSync(file, stdout);
  for (const { slots, speed } of readSpeeds(file)) {
    assert.equal(slots, 2);
    // The simulated engine says when each token is due; a busy machine is late, never early.
    for (const [, tokens] of speed.generation) assert.ok(tokens > 200 && tokens < 480, `${tokens}`);
  }
  assert.deepEqual(
    (JSON.parse(stdout) as SpeedFile).gpus.map(({ generation }) => generation.map(([inUse]) => inUse)),
    [
      [1, 2],
      [1, 2],
    ],
  );
});

test("lab calibrate loads models that are not there yet, measures each, and lab run takes all of it", async (t) => {
  const config = `
    models:
      - { name: usual, engine: { kind: simulated, memory_bytes: 5000000000 } }
      - { name: rare, load: demand, context: 512, engine: { kind: simulated, load_seconds: 1.2, memory_bytes: 3000000000 } }
    engine: { simulated: { tokens_per_second: 400 } }
    gpu:
      devices: [{ gpu: simulated:1, memory_bytes: 9000000000 }]
      multi_gpu: { max_concurrent_tasks_per_gpu: 1 }`;
  const server = await startLocalServer(t, { config });
  const env = { ALT_LAS_API_KEY: server.key };
  const { code, stdout, stderr } = await runCommand(["lab", "calibrate", "--url", server.url], { env });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^GPU 0, rare, 1 of 1 slots: .*answers \S+ tokens\/s each$/m);
  const [usual, rare, ...more] = (JSON.parse(stdout) as SpeedFile).gpus;
  assert.deepEqual(more, []);
  assert.deepEqual([usual!.model, rare!.model, rare!.context], ["usual", "rare", 512]);
  assert.ok(rare!.load_seconds! >= 1.2);
  for (const gpu of [usual!, rare!]) {
    assert.equal(gpu.gpu_memory_bytes, 9e9);
    assert.ok(!("kv_bytes_per_token" in gpu), "the simulated engine has no cache to tell of");
  }
  const folder = testFolder(t);
  const [speeds, configFile, trace] = ["speeds.json", "config.yaml", "trace.csv"].map((name) => join(folder, name));
  writeFileSync(speeds!, stdout);
  writeFileSync(configFile!, config);
  writeFileSync(trace!, "at,prompt_tokens,output_tokens,model\n0,5,10,usual\n1,5,10,rare\n2,5,10,rare\n");
  const run = await runCommand(["lab", "run", trace!, "--config", configFile!, "--speed", speeds!, "--json"]);
  const { results } = JSON.parse(run.stdout) as { results: { completed: number; loads: number }[] };
  assert.deepEqual([results[0]!.completed, results[0]!.loads], [3, 1]);
});

test("a server that is busy, or a key that may not, is answered with a sentence", async (t) => {
  const config = "engine: { simulated: { tokens_per_second: 50 } }";
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const env = { ALT_LAS_API_KEY: server.key };
  await server.predict({ text: "long", max_length: 100_000 });
  const busy = await runCommand(["lab", "calibrate", "--url", server.url], { env });
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, /^GPU 0 has 1 tasks?\. Calibrate while nothing else runs/);
  const nobody = await runCommand(["lab", "calibrate", "--url", server.url]);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /wants to know who is asking/);
});
