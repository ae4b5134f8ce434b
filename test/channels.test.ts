/** What every way to a worker promises (src/gpu/worker/channel.ts): a process of its own, and this process. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type OpenChannel } from "../src/gpu/worker/channel.ts";
import { forkChannel } from "../src/gpu/worker/fork-channel.ts";
import { localChannel } from "../src/gpu/worker/local-channel.ts";
import { type ToWorker } from "../src/gpu/worker/messages.ts";
import { Line, run } from "./helpers/line.ts";
import { SharedWorkers } from "./helpers/shared-workers.ts";

/** Each gives a way that no other test has. */
const CHANNELS: readonly (readonly [string, () => OpenChannel])[] = [
  ["to a process", () => forkChannel],
  ["to a process that it may share", () => new SharedWorkers().open],
  ["to a process that it shares", () => besideAnother()],
  ["in this process", () => localChannel],
];

/** To workers in a stand-in for a process where another one is, for as long as they are. */
function besideAnother(): OpenChannel {
  const { open } = new SharedWorkers();
  return (options, events) => {
    const other = open(options, { message: () => {}, closed: () => {} });
    return open(options, {
      message: (message) => events.message(message),
      closed: (end) => {
        events.closed(end);
        other.kill();
      },
    });
  };
}

for (const [name, way] of CHANNELS) {
  describe(`a channel ${name}`, { concurrency: true }, () => {
    it("delivers messages in order, each as a copy, and never within the call", async (t) => {
      const line = new Line(t, way());
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
      const line = new Line(t, way());
      line.load([{ kind: "load_error" }]);
      const { stderr } = await line.closed();
      assert.deepEqual([stderr, line.count("refused")], ["", 1]);
      line.load();
      line.channel.kill();
      assert.equal(line.ends.length, 1);
    });

    it("tells of a kill, whatever the worker is doing, and only once", async (t) => {
      const line = new Line(t, way());
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
      const [starting, idle] = [new Line(t, way()), new Line(t, way())];
      starting.load([], { load_seconds: 1e6 });
      starting.channel.kill();
      await idle.until(() => idle.count("heartbeat") > 0);
      idle.channel.kill();
      assert.equal((await starting.closed()).how, "SIGKILL");
      assert.equal((await idle.closed()).how, "SIGKILL");
    });

    it("tells of a crash that the failure script asks for", async (t) => {
      const line = new Line(t, way());
      line.load([{ kind: "crash", when_text_contains: "boom" }]);
      await line.until(() => line.count("loaded") > 0);
      line.channel.send({ type: "run", requests: [run(1, "boom")] });
      assert.equal((await line.closed()).how, "SIGKILL");
      assert.deepEqual(line.ended, []);
    });

    it("closes when the worker is told to stop in the middle of a task", async (t) => {
      const line = new Line(t, way());
      line.load([], { tokens_per_second: 50, context: 1e9 });
      await line.until(() => line.count("loaded") > 0);
      line.channel.send({ type: "run", requests: [run(1, "long", 1e6)] });
      await line.until(() => line.count("step") > 0);
      line.channel.send({ type: "stop" });
      assert.equal((await line.closed()).stderr, "");
    });
  });
}
