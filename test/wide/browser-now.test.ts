/** The pages Now and GPUs in a real browser. */
import assert from "node:assert/strict";
import test from "node:test";
import { type Dashboard, NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { AgentProcess } from "../helpers/agent-process.ts";
import { ready } from "../helpers/cluster-server.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { Server } from "../helpers/server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

/** Slow enough to be looked at, and to be ended by whoever has seen enough. */
const SLOW = "engine: { simulated: { tokens_per_second: 4 } }";
const LONG = { text: "hello", max_length: 4000 };

/** Runs in the page, with the dashboard's own modules at hand as `load`. */
function inPage<Value>({ page }: Dashboard, script: string): Promise<Value> {
  return page.evaluate<Value>(`(async () => {
    const base = document.querySelector('script[src$="/app.js"]').src.replace(/app\\.js$/, "");
    const load = (name) => import(base + name);
    ${script}
  })()`);
}

test(
  "without a task Now says what to do; a task is a bar that the keyboard finds, and why another waits is told",
  options,
  async (t) => {
    const server = await startLocalServer(t, {
      config: `${SLOW}\ngpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }`,
      devices: "simulated:1",
    });
    const page = await openDashboard(browser, server, { key: server.key });
    await page.shows("No task yet.");
    await page.isSound("now without a task");
    const { task_id: running } = await server.predict(LONG);
    await server.predict(LONG);
    await page.shows("All slots that it may have are taken: it waits for GPU 0.");
    await page.locator("canvas.bars").focus();
    await page.page.keyboard.press("ArrowLeft");
    await page.shows(/^GPU 0 has the lowest load/);
    await page.isSound("now with a task pointed at");
    await page.page.keyboard.press("Enter");
    await page.locator("main[data-page=tasks]").waitFor();
    assert.match(page.page.url(), new RegExp(`#/tasks/${running}$`));
    await page.isSound();
  },
);

test("a GPU is drained with a deadline, shown so on both pages, and resumed", options, async (t) => {
  const server = await startLocalServer(t, { config: SLOW, devices: "simulated:2" });
  await server.predict({ ...LONG, gpu_options: { specific_gpu_id: 1 } });
  const page = await openDashboard(browser, server, { key: server.key, place: "gpus/1" });
  await page.page.getByRole("button", { name: "Drain GPU 1" }).click();
  await page.page.getByLabel("Deadline in seconds").fill("0.5");
  await page.isSound("the question before a drain");
  await page.locator("dialog button[type=submit]").click();
  await page.locator(".panel-head .badge:text-is('drained')").waitFor();
  await page.isSound("a drained GPU");
  await page.go("now");
  await page.locator(".lane .badge:text-is('drained')").waitFor();
  await page.go("gpus");
  await page.page.getByRole("button", { name: "Resume GPU 1" }).click();
  await page.page.getByRole("button", { name: "Drain GPU 1" }).waitFor();
  assert.equal((await server.gpus())[1]!.status === "drained", false);
  await page.isSound("all GPUs");
});

test("GPUs of several machines stand below the names of these", { skip: NO_BROWSER ?? NO_NATS }, async (t) => {
  const nats = await NatsServer.start(t);
  const server = await Server.start(t, { config: `cluster: { nats: '${nats.url}' }` });
  for (const [index, name] of ["left", "right"].entries()) {
    await AgentProcess.start(t, { join: nats.url, name });
    await ready(server, index + 1);
  }
  const page = await openDashboard(browser, server, { key: server.key });
  for (const name of ["left", "right"]) await page.locator(`h2.machine:text-is('${name}')`).waitFor();
  await page.isSound("now with two machines");
  await page.go("gpus/1");
  await page.page.getByText("right", { exact: true }).first().waitFor();
  await page.isSound("a GPU of a machine");
});

test("both pages are sound in the dark, in Turkish and on a phone", options, async (t) => {
  const server = await startLocalServer(t, { config: SLOW, devices: "simulated:2" });
  await server.predict(LONG);
  const page = await openDashboard(browser, server, { key: server.key, scheme: "dark", language: "tr", size: PHONE });
  const shown = { now: "canvas.bars", gpus: "tbody tr", "gpus/0": ".one-gpu .events tr" };
  for (const [place, selector] of Object.entries(shown)) {
    await page.go(place);
    await page.locator(selector).first().waitFor();
    await page.isSound(`${place} in Turkish on a dark phone`);
  }
});

test("what an engine chose fits a phone, and the open page is in sight in the navigation", options, async (t) => {
  const server = await Server.start(t, { args: ["--devices", "cpu:1"] });
  const page = await openDashboard(browser, server, { key: server.key, language: "tr", size: PHONE, place: "gpus/0" });
  await page.locator("table.engine tr").first().waitFor();
  await page.isSound("one GPU with a model");
  await page.go("settings");
  await page.locator(".setting").first().waitFor();
  const isInSight = `(({ left, right }) => left >= 0 && right <= innerWidth)(document.querySelector("nav [aria-current]").getBoundingClientRect())`;
  assert.ok(await page.page.evaluate(isInSight));
});

test("a server that is killed is told about, and comes back without a reload", options, async (t) => {
  const config = `gpu: { devices: "simulated:1" }\n${SLOW}`;
  const server = await Server.start(t, { config });
  const page = await openDashboard(browser, server, { key: server.key });
  await page.locator(".lane").waitFor();
  page.expect(/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING/);
  server.process.kill("SIGKILL");
  await server.exit;
  await page.shows(/^Disconnected\. Trying again in \d+ s\.$/);
  await page.isSound("disconnected");
  const again = await Server.start(t, { config, args: ["--port", new URL(server.url).port] }, server.folder);
  await page.page.getByText("Try now").click();
  await page.locator(".connection").waitFor({ state: "detached" });
  await server.predict(LONG);
  await page.shows("1/8");
  await page.isSound("connected again");
  assert.ok(!again.log.some(({ msg }) => msg === "request refused"), "its old ticket was not tried");
});

/** The median, the 95th percentile and the largest. */
function threeOf(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  return [0.5, 0.95, 1].map((part) => sorted[Math.floor((sorted.length - 1) * part)]!.toFixed(1)).join(" / ");
}

test(
  "64 GPUs with 200 tasks a second are drawn frame by frame, with no more rectangles than pixels",
  options,
  async (t) => {
    const server = await startLocalServer(t, { devices: "simulated:64" });
    const page = await openDashboard(browser, server, { key: server.key, size: { width: 1600, height: 1000 } });
    await page.locator(".lane").nth(63).waitFor();
    const { frames, gaps, bars } = await inPage<{ frames: number[]; gaps: number[]; bars: number }>(
      page,
      `const { timeline, serverNow } = await load("core/store.js");
    const { frameTimes } = await load("core/frames.js");
    const { minutes } = await load("now/window.js");
    minutes.value = 1;
    let count = 0;
    const task = (at) => {
      const length = 500 + (count % 17) * 300;
      const id = "t" + count++;
      return { id, user: "u" + (count % 9), status: count % 40 ? "completed" : "failed", gpuId: count % 64, model: "m", batchId: null,
        createdAt: at - (count % 5) * 400, startedAt: at, firstOutputAt: at + 120, finishedAt: at + length };
    };
    const past = serverNow() - 180_000;
    for (let second = 0; second < 180; second++)
      timeline.apply(Array.from({ length: 200 }, (_, i) => task(past + second * 1000 + i * 5)));
    frameTimes.length = 0;
    const feed = setInterval(() => timeline.apply(Array.from({ length: 50 }, (_, i) => task(serverNow() - i * 5))), 250);
    const gaps = [];
    await new Promise((resolve) => {
      let last = performance.now();
      const start = last;
      const step = (now) => {
        gaps.push(now - last);
        last = now;
        if (now - start > 5000) resolve();
        else requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    });
    clearInterval(feed);
    return { frames: [...frameTimes], gaps, bars: [...timeline.lanes.values()].reduce((sum, { bars }) => sum + bars.length, 0) };`,
    );
    assert.ok(frames.length > 10);
    assert.ok(bars >= 36_000);
    t.diagnostic(
      `${bars} bars, ${frames.length} drawings in 5 s: ${threeOf(frames)} ms; frames ${threeOf(gaps)} ms (median / 95 % / longest)`,
    );
    const painted = await inPage<number>(
      page,
      `const { drawLane } = await load("now/draw-lane.js");
    const { timeline, serverNow } = await load("core/store.js");
    const { colors } = await load("core/colors.js");
    const context = document.createElement("canvas").getContext("2d");
    const to = serverNow();
    return drawLane(context, timeline.lanes.get(0), { from: to - 180_000, to, width: 300, height: 30, slots: 8 }, colors.value);`,
    );
    assert.ok(painted > 0 && painted <= 2 * 300 * 15, `${painted} rectangles`);
    await page.isSound("64 GPUs");
  },
);
