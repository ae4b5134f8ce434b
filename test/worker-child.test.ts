/** The worker process as its parent sees it: messages, signals, and how it ends. Every test has real processes. */
import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { completionOf } from "../src/request.ts";
import { type EngineOptions, type SimulatedOptions } from "../src/engine/engine.ts";
import { type FromWorker, type RunRequest, type StepEnd, type ToWorker } from "../src/gpu/worker/messages.ts";
import { simulatedEngine } from "./helpers/devices.ts";

const CHILD = new URL("../src/gpu/worker/child.ts", import.meta.url).pathname;
const MODEL = new URL("../models/demo.gguf", import.meta.url).pathname;

function simulated(options: Partial<SimulatedOptions> = {}): EngineOptions {
  return { ...simulatedEngine(options), slots: 8 };
}

function llama(model = MODEL): EngineOptions {
  return { ...simulated(), kind: "llama", model };
}

function request(run: number, text: string, maxTokens: number): RunRequest {
  return { run, request: completionOf(text, { maxTokens, temperature: 0 }) };
}

/** One worker process, and everything it has said. */
class Worker {
  readonly process: ChildProcess = fork(CHILD);
  readonly said: FromWorker[] = [];
  readonly exit: Promise<{ code: number | null; signal: string | null }>;

  constructor() {
    this.process.on("message", (message: FromWorker) => this.said.push(message));
    this.exit = once(this.process, "exit").then(([code, signal]) => ({ code, signal }));
  }

  send(message: ToWorker): void {
    this.process.send(message);
  }

  /** Waits for a message, also one that has come already. */
  async hear(isIt: (message: FromWorker) => boolean): Promise<FromWorker> {
    for (;;) {
      const found = this.said.find(isIt);
      if (found !== undefined) return found;
      await once(this.process, "message");
    }
  }

  async load(engine: EngineOptions): Promise<FromWorker> {
    this.send({ type: "load", gpuId: 3, engine, proveCuda: false });
    return this.hear(({ type }) => type === "loaded" || type === "refused");
  }

  /** How the run ended, and its whole text. */
  async end(run: number): Promise<{ end: StepEnd; text: string; tokens: number }> {
    await this.hear((message) => message.type === "step" && message.ends.some((end) => end.run === run));
    const steps = this.said.filter((message) => message.type === "step");
    const pieces = steps.flatMap((step) => step.pieces).filter((piece) => piece.run === run);
    const end = steps.flatMap((step) => step.ends).find((candidate) => candidate.run === run)!;
    const tokens = pieces.reduce((sum, piece) => sum + piece.tokens, 0);
    return { end, text: pieces.map(({ text }) => text).join(""), tokens };
  }

  async firstPiece(run: number): Promise<void> {
    await this.hear((message) => message.type === "step" && message.pieces.some((piece) => piece.run === run));
  }
}

/** Gives the test a worker that is gone when the test ends, whatever happened. */
async function withWorker(test: (worker: Worker) => Promise<void>): Promise<void> {
  const worker = new Worker();
  try {
    await test(worker);
  } finally {
    worker.process.kill("SIGKILL");
    await worker.exit;
  }
}

describe("a worker process", () => {
  it("loads, runs and tells everything of one step in one message", () =>
    withWorker(async (worker) => {
      const ready = await worker.load(simulated());
      assert(ready.type === "loaded" && ready.info.device === "simulated GPU 3");
      worker.send({ type: "run", requests: [request(1, "one", 4), request(2, "two", 5)] });
      const one = await worker.end(1);
      const two = await worker.end(2);
      assert(one.end.type === "finished" && one.end.executionTime >= 0);
      assert.deepEqual([one.tokens, two.tokens], [4, 5]);
      assert.equal(one.text.trim().split(" ").length, 4);
      const steps = worker.said.filter((message) => message.type === "step");
      assert.deepEqual(
        steps.map(({ starts }) => starts),
        [
          [
            { run: 1, promptTokens: 1 },
            { run: 2, promptTokens: 1 },
          ],
        ],
      );
    }));

  it("generates with llama.cpp, one message a step for all runs", () =>
    withWorker(async (worker) => {
      assert.equal((await worker.load(llama())).type, "loaded");
      const runs = [0, 1, 2, 3, 4, 5, 6, 7];
      worker.send({ type: "run", requests: runs.map((run) => request(run, "Once upon a time", 30)) });
      const ends = await Promise.all(runs.map((run) => worker.end(run)));
      assert(ends[0]!.text.length > 0);
      for (const { end, text } of ends) {
        assert.equal(end.type, "finished");
        assert.equal(text, ends[0]!.text);
      }
      assert(worker.said.filter(({ type }) => type === "step").length <= 31);
    }));

  it("cancels one run and goes on with the other", () =>
    withWorker(async (worker) => {
      await worker.load(simulated({ tokens_per_second: 50 }));
      worker.send({ type: "run", requests: [request(1, "The cat said", 4000), request(2, "The dog said", 20)] });
      await worker.firstPiece(1);
      worker.send({ type: "cancel", runs: [1, 99] });
      const { end, tokens } = await worker.end(1);
      assert(end.type === "finished" && end.finishReason === "canceled" && end.promptTokens === 3);
      assert.equal(end.completionTokens, tokens);
      const other = (await worker.end(2)).end;
      assert(other.type === "finished" && other.finishReason !== "canceled");
    }));

  it("answers failed runs with a code and a sentence, and goes on", () =>
    withWorker(async (worker) => {
      await worker.load(simulated({ failures: [{ kind: "out_of_memory", when_text_contains: "big" }] }));
      worker.send({
        type: "run",
        requests: [request(1, "big", 4), request(2, "x".repeat(99_999), 4), request(3, "ok", 4)],
      });
      const [big, long, ok] = [await worker.end(1), await worker.end(2), await worker.end(3)];
      assert(big.end.type === "error" && big.end.code === "out_of_memory");
      assert(long.end.type === "error" && long.end.code === "prompt_too_long");
      assert.equal(ok.end.type, "finished");
    }));

  it("refuses runs before it is loaded", () =>
    withWorker(async (worker) => {
      worker.send({ type: "run", requests: [request(1, "too early", 4)] });
      assert.equal((await worker.end(1)).end.type, "error");
    }));

  it("sends heartbeats from the first moment on, also while it loads", () =>
    withWorker(async (worker) => {
      await worker.load(simulated({ load_seconds: 1.3 }));
      const beats = worker.said.filter((message) => message.type === "heartbeat");
      assert(beats.length >= 2, `${beats.length} heartbeats before it was ready`);
      assert(beats.every(({ cpuSeconds, residentBytes }) => cpuSeconds > 0 && residentBytes > 1e6));
    }));

  it("ignores the signals that are meant for the server", () =>
    withWorker(async (worker) => {
      await worker.load(simulated());
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const) worker.process.kill(signal);
      worker.send({ type: "run", requests: [request(1, "still here", 4)] });
      assert.equal((await worker.end(1)).end.type, "finished");
    }));

  it("leaves cleanly when it is told to stop", () =>
    withWorker(async (worker) => {
      await worker.load(llama());
      worker.send({ type: "run", requests: [request(1, "The cat said", 4000)] });
      await worker.firstPiece(1);
      worker.send({ type: "stop" });
      assert.deepEqual(await worker.exit, { code: 0, signal: null });
    }));

  it("dies at once when its channel closes in the middle of decoding", () =>
    withWorker(async (worker) => {
      await worker.load(llama());
      worker.send({ type: "run", requests: [request(1, "The cat said", 4000)] });
      await worker.firstPiece(1);
      worker.process.disconnect();
      assert.deepEqual(await worker.exit, { code: null, signal: "SIGKILL" });
    }));

  for (const kind of ["crash", "hang"] as const) {
    it(`does not outlive a parent that is killed, not even one that left it with a ${kind === "hang" ? kind : "task"}`, async () => {
      const failures = kind === "hang" ? [{ kind, after_tokens: 2 }] : [];
      const load = { type: "load", gpuId: 0, engine: simulated({ tokens_per_second: 50, failures }) };
      const run = { type: "run", requests: [request(1, "x", 4000)] };
      // The pipe of standard output closes when the last process that holds it is gone: the parent and its worker.
      const script = `
        const worker = require("node:child_process").fork(${JSON.stringify(CHILD)});
        worker.on("message", ({ type }) => type === "step" && console.log("generating"));
        worker.send(${JSON.stringify(load)});
        worker.send(${JSON.stringify({ ...load, type: "cancel", runs: [] })});
        worker.on("message", ({ type }) => type === "loaded" && worker.send(${JSON.stringify(run)}));
      `;
      const parent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
      await once(parent.stdout, "data");
      parent.kill("SIGKILL");
      parent.stdout.resume();
      await once(parent.stdout, "close");
    });
  }

  it("crashes when its script says so", () =>
    withWorker(async (worker) => {
      await worker.load(simulated({ failures: [{ kind: "crash", when_text_contains: "boom" }] }));
      worker.send({ type: "run", requests: [request(1, "boom", 4)] });
      assert.deepEqual(await worker.exit, { code: null, signal: "SIGKILL" });
    }));
});

function unusable(engine: EngineOptions, sentence: RegExp): Promise<void> {
  return withWorker(async (worker) => {
    const answer = await worker.load(engine);
    assert(answer.type === "refused", JSON.stringify(answer));
    assert.equal(answer.code, "model_error");
    assert.match(answer.sentence, sentence);
    if (engine.kind === "llama") assert(answer.sentence.includes(engine.model), answer.sentence);
    assert.deepEqual(await worker.exit, { code: 0, signal: null });
  });
}

describe("a worker that cannot load its model says why and leaves", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "alt-las-"));
  });
  after(() => rm(folder, { recursive: true }));

  const damaged = async (name: string, change: (model: Buffer) => Uint8Array | string) => {
    const path = join(folder, `${name}.gguf`);
    await writeFile(path, change(await readFile(MODEL)));
    return llama(path);
  };

  it("of a script", () => unusable(simulated({ failures: [{ kind: "load_error" }] }), /GPU 3 is set to fail/));
  it("of a missing file", () => unusable(llama(join(folder, "none.gguf")), /does not exist\.$/));
  it("of a folder", () => unusable(llama(folder), /cannot be read: .*directory/));
  it("of an empty file", async () => unusable(await damaged("empty", () => ""), /is empty\.$/));
  it("of a text file", async () =>
    unusable(await damaged("text", () => "hello"), /is not a GGUF file: it starts with "hell"\.$/));
  it("of a file that ends in the middle of the weights", async () =>
    unusable(
      await damaged("weights", (model) => model.subarray(0, model.length / 2)),
      /weights\.gguf is cut short: it has \d+ bytes/,
    ));
  it("of a file that ends in the middle of the header", async () =>
    unusable(await damaged("header", (model) => model.subarray(0, 30)), /header\.gguf is cut short: it has \d+ bytes/));
  it("of an architecture nobody knows", async () =>
    unusable(
      await damaged("architecture", (model) => {
        const at = model.indexOf("llama");
        return Buffer.concat([model.subarray(0, at), Buffer.from("zzama"), model.subarray(at + 5)]);
      }),
      /unknown model architecture: 'zzama'/,
    ));
});
