/** How many series there are, and what is counted in them, when the core tells of everything that it can. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { unset } from "../src/common/clock.ts";
import { ERRORS, type ErrorCode } from "../src/errors.ts";
import { type GpuStatus } from "../src/gpu/status.ts";
import { type MetricSources } from "../src/observe/metrics/sources.ts";
import { STRATEGIES, type Task } from "../src/task.ts";
import { TaskNews } from "../src/tasks/task-news.ts";
import {
  REQUEST_BEGAN,
  REQUEST_ENDED,
  REQUEST_REFUSED,
  TASK_ENDED,
  TASK_REQUEUED,
  TASK_STARTED,
} from "../src/topics.ts";
import { aCompletedTask, testServer } from "./helpers/http.ts";
import { gpusOf, happens, metricsOf, taskOf } from "./helpers/observed.ts";
import { ROOT } from "./helpers/server.ts";
import { type Series, seriesOf, valueOf } from "./helpers/exposition.ts";

interface Observed {
  readonly scrape: () => Promise<Series[]>;
  readonly text: () => Promise<string>;
}

function observed(t: TestContext, sources: Partial<MetricSources> = {}): Observed {
  const metrics = metricsOf(sources);
  t.after(() => metrics.stop());
  const text = async (): Promise<string> => (await metrics.scrape()).text;
  return { text, scrape: async () => seriesOf(await text()) };
}

test("64 GPUs, 200 users and 60 models, with every code and every route, make at most 3,000 series", async (t) => {
  const routes: string[] = [];
  const { app } = testServer(t);
  app.addHook("onRoute", ({ url }) => void routes.push(url));
  await app.ready();
  const { scrape } = observed(t, { gpus: () => gpusOf(64, 60) });
  const placement = aCompletedTask().placement!;
  for (let user = 0; user < 200; user++)
    for (const [index, strategy] of [...STRATEGIES, "pinned" as const, "batch" as const].entries()) {
      const ranModel = `model-${user % 60}`;
      const task = taskOf(`user-${user}`, user, { ranModel, placement: { ...placement, strategy } });
      for (let gpu = user % 8; gpu < 64; gpu += 8) happens(task, gpu);
      const failed = { ...task, status: "failed" as const, error: { code: codes()[index]!, sentence: "" } };
      TASK_ENDED.publish({ task: failed });
      TASK_ENDED.publish({ task: { ...task, status: "canceled" } });
      TASK_REQUEUED.publish({ task: { ...task, attempts: [{ ...task.attempts[0]!, reason: "gpu_lost" }] } });
    }
  for (const code of codes()) {
    REQUEST_REFUSED.publish({ code });
    TASK_ENDED.publish({ task: taskOf("user-0", 1, { status: "failed", error: { code, sentence: "" } }) });
  }
  const request = new IncomingMessage(new Socket());
  for (const route of routes)
    for (const status of [200, 400, 401, 403, 404, 429, 500, 503]) {
      REQUEST_BEGAN.publish({ request, route });
      REQUEST_ENDED.publish({ request, route, status });
    }
  const series = await scrape();
  t.diagnostic(`${series.length} series`);
  assert.ok(series.length <= 3000, `${series.length} series`);
  const distinct = new Set(series.map(({ name, labels }) => JSON.stringify([name, labels])));
  assert.equal(distinct.size, series.length, "no series is there twice");
  const users = new Set(series.flatMap(({ labels: { user } }) => user ?? []));
  assert.equal(users.size, 51);
});

test("docs/monitoring.md lists every metric", async (t) => {
  // Shown by a server of several.
  const text = await observed(t, { leads: () => true }).text();
  const shown = Array.from(text.matchAll(/^# TYPE (\S+)/gm), ([, name]) => name!);
  const document = readFileSync(join(ROOT, "docs", "monitoring.md"), "utf8");
  const rows = document.split("\n").filter((line) => /^\| `(?:altlas|process)_/.test(line));
  const listed = rows.flatMap((line) => line.split("|")[1]!.match(/[a-z_]+/g) ?? []);
  assert.deepEqual(listed.toSorted(), shown.toSorted());
});

function codes(): ErrorCode[] {
  return Object.keys(ERRORS) as ErrorCode[];
}

function tokensOf(series: readonly Series[], user: string): number {
  return valueOf(series, "altlas_user_tokens_total", { user, kind: "completion" });
}

test("the users with the most tokens have series of their own, and no series ever falls", async (t) => {
  const { scrape } = observed(t);
  for (let user = 0; user < 60; user++) happens(taskOf(`user-${user}`, user));
  const first = await scrape();
  const all = valueOf(first, "altlas_tokens_total", { kind: "completion" });
  assert.equal(all, (59 * 60) / 2);
  happens(taskOf("user-0", 1000));
  happens(taskOf("user-59", 5));
  const second = await scrape();
  assert.equal(tokensOf(second, "user-59") - tokensOf(first, "user-59"), 5);
  happens(taskOf("user-0", 7));
  const third = await scrape();
  assert.equal(tokensOf(third, "user-0"), 7, "what was counted with the others stays there");
  const before = new Map(second.map(({ name, labels, value }) => [JSON.stringify([name, labels]), value]));
  for (const { name, labels, value } of third)
    if (name.endsWith("_total") && name.includes("user"))
      assert.ok(value >= (before.get(JSON.stringify([name, labels])) ?? 0), JSON.stringify(labels));
});

test("where nobody measures energy there is no series of it, for users as for models", async (t) => {
  const { scrape } = observed(t);
  const { use } = taskOf("ada");
  happens(taskOf("ada", 3, { use: { ...use!, energyJoules: null }, ranModel: "unmeasured" }));
  happens(taskOf("bob"));
  const energies = (await scrape()).filter(({ name }) => /_(user|task)_energy_joules_total$/.test(name));
  assert.deepEqual(
    energies.map(({ labels, value }) => [labels["user"] ?? labels["model"], value]),
    [
      ["bob", 20],
      ["none", 20],
    ],
  );
});

test("models beyond the first ones share a series, so that pulled ones make no more and more of them", async (t) => {
  const { scrape } = observed(t);
  for (let model = 0; model < 100; model++) happens(taskOf("ada", 1, { ranModel: `model-${model}` }));
  const series = await scrape();
  assert.equal(valueOf(series, "altlas_tasks_ended_total", { model: "others" }), 70);
  assert.equal(valueOf(series, "altlas_tasks_ended_total"), 100);
});

test("the time between two outputs is counted within one attempt only", async (t) => {
  const { scrape } = observed(t, { now: () => aCompletedTask().createdClock + 4000 });
  const task = taskOf("ada");
  const instance = { gpuId: 0, id: 0 };
  const news = new TaskNews({ log: pino({ level: "silent" }), clock: unset(() => 0) });
  const outputs = (of: Task, positions: readonly number[]): number =>
    positions.reduce((last, before) => news.output(of, before, last), 0);
  TASK_STARTED.publish({ task, instance, waited: 0 });
  outputs(task, [0, 5, 9]);
  TASK_REQUEUED.publish({ task });
  const again = { ...task, attempts: [...task.attempts, ...task.attempts] };
  TASK_STARTED.publish({ task: again, instance, waited: 0 });
  outputs(again, [0, 5]);
  const series = await scrape();
  assert.equal(valueOf(series, "altlas_inter_token_seconds_count"), 3);
  assert.equal(valueOf(series, "altlas_inter_token_seconds_bucket", { le: "+Inf" }), 3);
  assert.equal(valueOf(series, "altlas_time_to_first_token_seconds_count"), 1);
  assert.equal(valueOf(series, "altlas_time_to_first_token_seconds_sum"), 4);
});

test("a store that does not answer holds no scrape up, and is asked once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const asked = Promise.withResolvers<void>();
  let times = 0;
  const pendingWebhooks = (): Promise<number> => {
    times++;
    asked.resolve();
    return new Promise<number>(() => {});
  };
  const { scrape } = observed(t, { pendingWebhooks });
  for (let scrapes = 0; scrapes < 2; scrapes++) {
    const scraped = scrape();
    await asked.promise;
    t.mock.timers.tick(500);
    assert.equal(valueOf(await scraped, "altlas_ready"), 1);
  }
  assert.equal(times, 1);
});

test("scrapes that come together are answered together", async (t) => {
  let reads = 0;
  const gpus = (): readonly GpuStatus[] => {
    reads++;
    return [];
  };
  const { scrape } = observed(t, { gpus });
  await scrape();
  const once = reads;
  await Promise.all([scrape(), scrape(), scrape()]);
  assert.equal(reads, 2 * once);
});
