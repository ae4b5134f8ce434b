/**
 * The worker process as its parent sees it: signals, native code, and how it ends. Every test has a real process; what a worker does with
 * its messages is tested in worker-host.test.ts.
 */
import assert from "node:assert/strict";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type EngineOptions, type SimulatedOptions } from "../src/engine/engine.ts";
import { type FromWorker, type ToWorker } from "../src/gpu/worker/messages.ts";
import { simulatedEngine } from "./helpers/devices.ts";
import { request, WorkerTalk } from "./helpers/worker-talk.ts";

const CHILD = new URL("../src/gpu/worker/child.ts", import.meta.url).pathname;
const MODEL = new URL("../models/demo.gguf", import.meta.url).pathname;

function simulated(options: Partial<SimulatedOptions> = {}): EngineOptions {
  return { ...simulatedEngine(options), slots: 8 };
}

function llama(model = MODEL): EngineOptions {
  return { ...simulated(), kind: "llama", model };
}

/** One worker process. */
class Worker extends WorkerTalk {
  readonly process: ChildProcess = fork(CHILD);
  readonly exit: Promise<{ code: number | null; signal: string | null }>;

  constructor() {
    super();
    this.process.on("message", (message: FromWorker) => this.tell(message));
    this.exit = once(this.process, "exit").then(([code, signal]) => ({ code, signal }));
  }

  send(message: ToWorker): void {
    this.process.send(message);
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

  it("does not outlive a parent that died just before it began to hang", async () => {
    const engine = simulated({ tokens_per_second: 0, failures: [{ kind: "hang", after_tokens: 0 }] });
    const run = { type: "run", requests: [request(1, "x", 4000)] };
    // The worker stands still while it is sent its task, and until its parent is gone.
    const script = `
      const worker = require("node:child_process").fork(${JSON.stringify(CHILD)});
      worker.send(${JSON.stringify({ type: "load", gpuId: 0, engine })});
      worker.on("message", ({ type }) => {
        if (type !== "loaded") return;
        worker.kill("SIGSTOP");
        worker.send(${JSON.stringify(run)}, () => console.log(worker.pid));
      });
    `;
    const parent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [pid] = await once(parent.stdout, "data");
    parent.kill("SIGKILL");
    await once(parent, "exit");
    process.kill(Number(pid), "SIGCONT");
    parent.stdout.resume();
    await once(parent.stdout, "close");
  });

  it("says why it cannot load its model, and leaves without a failure", async () => {
    const model = await readFile(MODEL);
    const folder = await mkdtemp(join(tmpdir(), "alt-las-"));
    const file = join(folder, "architecture.gguf");
    const at = model.indexOf("llama");
    await writeFile(file, Buffer.concat([model.subarray(0, at), Buffer.from("zzama"), model.subarray(at + 5)]));
    await withWorker(async (worker) => {
      const answer = await worker.load(llama(file));
      assert(answer.type === "refused" && answer.code === "model_error", JSON.stringify(answer));
      assert.match(answer.sentence, /architecture\.gguf .*unknown model architecture: 'zzama'/);
      assert.deepEqual(await worker.exit, { code: 0, signal: null });
    });
    await rm(folder, { recursive: true });
  });
});
