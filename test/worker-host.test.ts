/** What a worker does with the server's messages, wherever it runs; its process is tested in worker-child.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type EngineOptions, type SimulatedOptions } from "../src/engine/engine.ts";
import { LocalChannel } from "../src/gpu/worker/local-channel.ts";
import { type ToWorker } from "../src/gpu/worker/messages.ts";
import { simulatedEngine } from "./helpers/devices.ts";
import { request, WorkerTalk } from "./helpers/worker-talk.ts";

function simulated(options: Partial<SimulatedOptions> = {}): EngineOptions {
  return { ...simulatedEngine(options), slots: 8 };
}

/** One worker in this process. */
class Worker extends WorkerTalk {
  readonly channel = new LocalChannel({
    message: (message) => this.tell(message),
    closed: ({ how }) => this.#gone.resolve(how),
  });
  readonly #gone = Promise.withResolvers<string>();

  /** How it ended. */
  get exit(): Promise<string> {
    return this.#gone.promise;
  }

  send(message: ToWorker): void {
    this.channel.send(message);
  }
}

/** Gives the test a worker that is gone when the test ends, whatever happened. */
async function withWorker(test: (worker: Worker) => Promise<void>): Promise<void> {
  const worker = new Worker();
  try {
    await test(worker);
  } finally {
    worker.channel.kill();
  }
}

describe("a worker", () => {
  it("says how many tokens a prompt has, or why it can be none", () =>
    withWorker(async (worker) => {
      await worker.load(simulated());
      const { request: counted } = request(1, "four letters, and more", 4);
      assert(counted.kind === "completion");
      worker.send({ type: "count", question: 7, request: counted });
      const answer = await worker.hear(({ type }) => type === "counted");
      assert.deepEqual(answer, { type: "counted", question: 7, tokens: 6 });
    }));

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
      await worker.load(simulated({ load_seconds: 0.8 }));
      const beats = worker.said.filter((message) => message.type === "heartbeat");
      assert(beats.length >= 2, `${beats.length} heartbeats before it was ready`);
    }));

  it("says why it cannot load its model, and leaves", () =>
    withWorker(async (worker) => {
      const answer = await worker.load(simulated({ failures: [{ kind: "load_error" }] }));
      assert(answer.type === "refused" && answer.code === "model_error");
      assert.match(answer.sentence, /GPU 3 is set to fail/);
      assert.equal(await worker.exit, "exit code 0");
    }));
});
