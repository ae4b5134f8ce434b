/** What every way to a worker promises (src/gpu/worker/channel.ts): a process of its own, and this process. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { pino } from "pino";
import { type EngineOptions, type SimulatedFailure } from "../src/engine/engine.ts";
import { type Channel, type ChannelEnd, type OpenChannel } from "../src/gpu/worker/channel.ts";
import { forkChannel } from "../src/gpu/worker/fork-channel.ts";
import { localChannel } from "../src/gpu/worker/local-channel.ts";
import { type FromWorker, type RunRequest, type ToWorker } from "../src/gpu/worker/messages.ts";
import { completionOf } from "../src/request.ts";
import { Changes } from "./helpers/changes.ts";
import { simulatedEngine } from "./helpers/devices.ts";

/** A channel to a worker of GPU 3, and all that it told. */
class Line {
  readonly channel: Channel;
  readonly heard: FromWorker[] = [];
  readonly ends: ChannelEnd[] = [];
  readonly #changes = new Changes();

  constructor(t: TestContext, open: OpenChannel) {
    const log = pino({ level: "silent" });
    const options = { gpuId: 3, engine: simulatedEngine(), environment: {}, log };
    this.channel = open(options, {
      message: (message) => this.#tell(() => this.heard.push(message)),
      closed: (end) => this.#tell(() => this.ends.push(end)),
    });
    t.after(() => this.channel.kill());
  }

  #tell(keep: () => void): void {
    assert.equal(this.ends.length, 0, "an event after the channel has closed");
    keep();
    this.#changes.tell();
  }

  until(holds: () => boolean): Promise<void> {
    return this.#changes.until(holds);
  }

  count(type: FromWorker["type"]): number {
    return this.heard.filter((message) => message.type === type).length;
  }

  load(failures: readonly SimulatedFailure[] = [], changes: Partial<EngineOptions["simulated"]> = {}): void {
    const engine = { ...simulatedEngine({ failures, ...changes }), slots: 8 };
    this.channel.send({ type: "load", gpuId: 3, engine, proveCuda: false });
  }

  /** The numbers of the runs that have ended, in order. */
  get ended(): number[] {
    return this.heard.flatMap((message) => (message.type === "step" ? message.ends.map((end) => end.run) : []));
  }

  async closed(): Promise<ChannelEnd> {
    await this.until(() => this.ends.length > 0);
    // Long enough for an event that must not come.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    return this.ends[0]!;
  }
}

function run(number: number, text: string, maxTokens = 3): RunRequest {
  return { run: number, request: completionOf(text, { maxTokens, temperature: 0 }) };
}

const CHANNELS: readonly (readonly [string, OpenChannel])[] = [
  ["to a process", forkChannel],
  ["in this process", localChannel],
];

for (const [name, open] of CHANNELS) {
  describe(`a channel ${name}`, { concurrency: true }, () => {
    it("delivers messages in order, each as a copy, and never within the call", async (t) => {
      const line = new Line(t, open);
      line.load();
      await line.until(() => line.count("loaded") > 0);
      const requests = [run(1, "one")];
      const message: ToWorker = { type: "run", requests };
      line.channel.send(message);
      requests[0] = run(9, "changed after it was sent");
      for (const number of [2, 3, 4]) line.channel.send({ type: "run", requests: [run(number, "more")] });
      assert.equal(line.count("step"), 0, "nothing is told within a call");
      await line.until(() => line.ended.length === 4);
      assert.deepEqual(line.ended, [1, 2, 3, 4]);
    });

    it("closes when the worker leaves, after all that it said, and drops what is sent later", async (t) => {
      const line = new Line(t, open);
      line.load([{ kind: "load_error" }]);
      const { stderr } = await line.closed();
      assert.deepEqual([stderr, line.count("refused")], ["", 1]);
      line.load();
      line.channel.kill();
      assert.equal(line.ends.length, 1);
    });

    it("tells of a kill, whatever the worker is doing, and only once", async (t) => {
      const line = new Line(t, open);
      line.load([{ kind: "hang", when_text_contains: "freeze" }], { tokens_per_second: 50 });
      await line.until(() => line.count("loaded") > 0);
      line.channel.send({ type: "run", requests: [run(1, "neighbour", 1e6)] });
      await line.until(() => line.count("step") > 0);
      line.channel.send({ type: "run", requests: [run(2, "freeze", 5)] });
      line.channel.kill();
      line.channel.kill();
      assert.equal((await line.closed()).how, "SIGKILL");
      assert.deepEqual([line.ends.length, line.ended], [1, []]);
    });

    it("tells of a worker that is killed while it starts, and of one that never was asked for anything", async (t) => {
      const [starting, idle] = [new Line(t, open), new Line(t, open)];
      starting.load([], { load_seconds: 1e6 });
      starting.channel.kill();
      await idle.until(() => idle.count("heartbeat") > 0);
      idle.channel.kill();
      assert.equal((await starting.closed()).how, "SIGKILL");
      assert.equal((await idle.closed()).how, "SIGKILL");
    });

    it("tells of a crash that the failure script asks for", async (t) => {
      const line = new Line(t, open);
      line.load([{ kind: "crash", when_text_contains: "boom" }]);
      await line.until(() => line.count("loaded") > 0);
      line.channel.send({ type: "run", requests: [run(1, "boom")] });
      assert.equal((await line.closed()).how, "SIGKILL");
      assert.deepEqual(line.ended, []);
    });

    it("closes when the worker is told to stop in the middle of a task", async (t) => {
      const line = new Line(t, open);
      line.load([], { tokens_per_second: 50, context: 1e9 });
      await line.until(() => line.count("loaded") > 0);
      line.channel.send({ type: "run", requests: [run(1, "long", 1e6)] });
      await line.until(() => line.count("step") > 0);
      line.channel.send({ type: "stop" });
      assert.equal((await line.closed()).stderr, "");
    });
  });
}
