/** What a server says of its load, and what that means for placement. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type UpstreamFigures } from "../src/engine/engine.ts";
import { createEngine } from "../src/engine/open.ts";
import { type Dialect, type Figures } from "../src/engine/openai/dialect.ts";
import { LLAMA_CPP } from "../src/engine/openai/llama-cpp.ts";
import { LoadWatch } from "../src/engine/openai/load-watch.ts";
import { highestOf, sumOf } from "../src/engine/openai/prometheus.ts";
import { SGLANG } from "../src/engine/openai/sglang.ts";
import { TENSORRT_LLM } from "../src/engine/openai/tensorrt-llm.ts";
import { TGI } from "../src/engine/openai/tgi.ts";
import { VLLM } from "../src/engine/openai/vllm.ts";
import { Upstream } from "../src/engine/upstream/upstream.ts";
import { remoteReading } from "../src/gpu/card/readings.ts";
import { OPENAI, refused, started } from "./helpers/engines.ts";
import { StandIn, type StandInOptions } from "./helpers/upstream.ts";

const PATIENCE = { firstByte: 600, token: 600 };

async function figuresOf(dialect: Dialect, options: StandInOptions): Promise<Figures | null> {
  await using standIn = await StandIn.open(options);
  const upstream = new Upstream({ url: standIn.url, socketPath: null, headers: {} }, PATIENCE);
  const figures = await dialect.figures!(upstream);
  await upstream.close();
  return figures;
}

/** Until promises that are there have been dealt with. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

describe("the figures of a server", () => {
  const published: readonly [StandInOptions["vendor"], Dialect, Figures][] = [
    ["vllm", VLLM, { running: 0, waiting: 3, kvCacheUse: 0.25, slots: null }],
    ["sglang", SGLANG, { running: 0, waiting: 1, kvCacheUse: 0.5, slots: 64 }],
    ["tgi", TGI, { running: 0, waiting: 2, kvCacheUse: null, slots: null }],
    ["llama-server", LLAMA_CPP, { running: 0, waiting: null, kvCacheUse: null, slots: 8 }],
    ["tensorrt-llm", TENSORRT_LLM, { running: 0, waiting: 0, kvCacheUse: 0.125, slots: null }],
  ];
  for (const [vendor, dialect, expected] of published) {
    it(`are those that ${vendor} publishes`, async () => {
      assert.deepEqual(await figuresOf(dialect, { vendor }), expected);
    });
  }

  it("are those of older servers too", async () => {
    const old = { "/metrics": { body: 'vllm:num_requests_running 2.0\nvllm:gpu_cache_usage_perc{a="b"} 0.75\n' } };
    const vllm = await figuresOf(VLLM, { vendor: "vllm", routes: old });
    assert.deepEqual(vllm, { running: 2, waiting: null, kvCacheUse: 0.75, slots: null });
    const metrics =
      'sglang:num_running_reqs{dp="0"} 2.0\nsglang:num_running_reqs{dp="1"} 3.0\nsglang:num_queue_reqs 4.0\n';
    const routes = { "/v1/loads?include=core": null, "/metrics": { body: metrics } };
    const sglang = await figuresOf(SGLANG, { vendor: "sglang", routes });
    assert.deepEqual(sglang, { running: 5, waiting: 4, kvCacheUse: null, slots: null });
  });

  it("are llama-server's metrics where it has them, which also say who waits", async () => {
    const body = "llamacpp:requests_processing 8\nllamacpp:requests_deferred 5\n";
    const figures = await figuresOf(LLAMA_CPP, { vendor: "llama-server", routes: { "/metrics": { body } } });
    assert.deepEqual(figures, { running: 8, waiting: 5, kvCacheUse: null, slots: 8 });
    const noSlots = { "/slots": null, "/metrics": { body } };
    const { slots } = (await figuresOf(LLAMA_CPP, { vendor: "llama-server", routes: noSlots }))!;
    assert.equal(slots, null);
  });

  it("are none where it publishes none, or nonsense", async () => {
    for (const body of [null, { status: 401, body: {} }] as const) {
      const routes = { "/metrics": body, "/slots": body, "/v1/loads?include=core": body, "/prometheus/metrics": body };
      for (const [vendor, dialect] of published) assert.equal(await figuresOf(dialect, { vendor, routes }), null);
    }
    const nonsense = { "/metrics": { body: "<h1>hello</h1>" } };
    assert.deepEqual(await figuresOf(VLLM, { vendor: "vllm", routes: nonsense }), {
      running: null,
      waiting: null,
      kvCacheUse: null,
      slots: null,
    });
  });

  it("are read from Prometheus's text, whatever the labels", () => {
    const text = '# TYPE a gauge\na{x="}"} 1.5\na{x="y"} 2e3\nab 7\na_total 9\nb NaN\n';
    assert.deepEqual([sumOf(text, "a"), highestOf(text, "a"), sumOf(text, "ab")], [2001.5, 2000, 7]);
    assert.deepEqual([sumOf(text, "b"), highestOf(text, "c")], [null, null]);
  });

  it("are told by the engine while it is open, and fail nothing", async () => {
    const routes = { "/metrics": null };
    for (const [options, expected] of [
      [{ vendor: "vllm" }, { running: 1, waiting: 3, kvCacheUse: 0.25, slots: null, ours: 1 }],
      [{ vendor: "vllm", routes }, null],
    ] as const) {
      await using standIn = await StandIn.open(options);
      const upstream = { url: standIn.url, apiKey: null };
      const engine = await createEngine({ ...OPENAI, upstream }, 0);
      await engine.load();
      const task = await started(engine, "The cat said", 1_000_000, 1);
      const asked = () => standIn.seen.filter(({ path }) => path === "/metrics").length;
      const before = asked();
      // With the second question after the task has begun, the answer to the first is known.
      await standIn.until(() => expected === null || asked() >= before + 2);
      assert.deepEqual(engine.upstream, expected);
      task.controller.abort();
      await task.outcome;
      await engine.stop();
    }
  });
});

describe("watching the load", () => {
  const FIGURES: Figures = { running: 8, waiting: 0, kvCacheUse: null, slots: null };

  it("remembers how many of the requests may have been ours", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const watched = new LoadWatch(
      async () => FIGURES,
      2,
      () => {},
    );
    const ours = async (now: number) => {
      watched.count(now);
      t.mock.timers.tick(1000);
      await settle();
      return watched.figures?.ours;
    };
    watched.start();
    await settle();
    assert.deepEqual(watched.figures, { ...FIGURES, ours: 0 });
    watched.count(8);
    watched.count(2);
    // The figures of the next two seconds may still show all eight.
    assert.equal(await ours(2), 8);
    assert.equal(await ours(1), 8);
    assert.equal(await ours(0), 8);
    assert.equal(await ours(0), 2);
    assert.equal(await ours(0), 1);
    assert.equal(await ours(0), 0);
    watched.stop();
  });

  it("asks more seldom, and says so, while nothing is told", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let asked = 0;
    let silent = 0;
    const read = async () => {
      asked++;
      if (asked === 2) throw new Error("broken");
      return asked === 1 ? FIGURES : null;
    };
    const watched = new LoadWatch(read, 2, () => silent++);
    watched.start();
    await settle();
    for (const [milliseconds, expected] of [
      [1000, 2],
      [1000, 2],
      [14_000, 3],
    ] as const) {
      t.mock.timers.tick(milliseconds);
      await settle();
      assert.equal(asked, expected);
    }
    assert.deepEqual([watched.figures, silent], [null, 2]);
    watched.stop();
    t.mock.timers.tick(60_000);
    await settle();
    assert.equal(asked, 3);
  });

  it("finds out that a server is gone before a task has tried in vain", async () => {
    const standIn = await StandIn.open({ vendor: "vllm" });
    const upstream = { url: standIn.url, apiKey: null };
    const engine = await createEngine({ ...OPENAI, upstream }, 0);
    await engine.load();
    await standIn.close();
    const { sentence } = await engine.gone!;
    assert.equal(sentence, `vLLM at ${upstream.url} cannot be reached: the connection was refused.`);
    assert.equal((await refused(started(engine, "late", 5, 1))).code, "gpu_lost");
    await engine.stop();
  });
});

describe("what others use of a server", () => {
  const SLOTS = 8;
  const cases: readonly [name: string, Partial<UpstreamFigures>, expected: number | null][] = [
    ["nothing while only we use it", { running: 5, ours: 5 }, 0],
    ["nothing while our own tasks wait there", { running: 6, waiting: 2, ours: 8 }, 0],
    ["nothing when more may be ours than run", { running: 3, ours: 8 }, 0],
    ["a share of what it has room for", { running: 6, ours: 2, slots: 16 }, 0.25],
    ["all of it, when more wait than it has room for", { running: 16, waiting: 9, ours: 0, slots: 16 }, 1],
    ["half, when as many run as we have slots", { running: 8, ours: 0 }, 0.5],
    ["most, when others wait", { running: 20, waiting: 4, ours: 8 }, 0.8],
    ["all, when they wait and nothing is ours", { running: 20, waiting: 4, ours: 0 }, 1],
    ["not known when it does not tell", { running: null, waiting: 4 }, null],
  ];
  for (const [name, told, expected] of cases) {
    it(name, () => {
      const upstream = { running: null, waiting: null, kvCacheUse: null, slots: null, ours: 0, ...told };
      const reading = remoteReading({ upstream }, SLOTS);
      assert.deepEqual([reading.othersUtilization, reading.upstream], [expected, upstream]);
      // Never invented.
      assert.deepEqual([reading.utilization, reading.memoryUsed, reading.memoryTotal], [null, null, null]);
    });
  }

  it("is not known before it has told anything", () => {
    assert.equal(remoteReading(null, SLOTS).othersUtilization, null);
  });
});
