/** What stands in deploy/ for Prometheus and Grafana, checked by a real Prometheus that scrapes a real server. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { parse } from "yaml";
import { gpuStubs, NO_GPU_STUBS, stubGpu } from "../helpers/gpu-stubs.ts";
import { Prometheus } from "../helpers/prometheus.ts";
import { lacks, newFolder, ROOT, runProgram, Server } from "../helpers/server.ts";

const DEPLOY = join(ROOT, "deploy", "prometheus");
const withoutPrometheus = await lacks(runProgram("promtool", ["--version"]), "Debian's package prometheus");

/** What the panels and variables of the dashboard ask. */
interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly type: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
    readonly datasource?: { readonly uid: string };
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

const dashboard = JSON.parse(readFileSync(join(ROOT, "deploy", "grafana", "alt-las.json"), "utf8")) as Dashboard;
const rules = (parse(readFileSync(join(DEPLOY, "alerts.yml"), "utf8")) as Rules).groups.flatMap((group) => group.rules);
const panels = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

/** With a figure of each kind that a server can show: GPUs of a stand-in driver, tasks that end well and badly, a refusal. */
async function busyServer(t: TestContext): Promise<Server | null> {
  const stubs = await gpuStubs(t, [stubGpu(1), stubGpu(2)]);
  if (stubs === null) return null;
  const config = `
gpu: { devices: [0, 1], monitoring: { interval_ms: 50 }, worker_environment: [NVML_STUB_FILE] }
engine: { kind: simulated, simulated: { tokens_per_second: 200 } }`;
  return (await Server.start(t, { config, env: stubs.environment })).loaded();
}

async function happen(server: Server): Promise<void> {
  const late = await server.predict({ text: "late", max_length: 100_000, timeout_seconds: 0.1 });
  for (let count = 0; count < 4; count++) await server.run({ text: "well", max_length: 5 });
  assert.equal((await server.ended(late.task_id)).status, "failed");
  assert.equal((await server.request("GET", "/api/v1/nothing")).status, 404);
}

/** As deploy/prometheus/prometheus.yml says, but often, and where this server is. */
function configFor(t: TestContext, server: Server): string {
  const keyFile = join(newFolder(t), "key");
  writeFileSync(keyFile, server.key);
  const text = readFileSync(join(DEPLOY, "prometheus.yml"), "utf8");
  return text
    .replaceAll(": 15s", ": 1s")
    .replaceAll("alt-las.key", keyFile)
    .replaceAll("alerts.yml", join(DEPLOY, "alerts.yml"))
    .replaceAll("127.0.0.1:8642", new URL(server.url).host);
}

/** As Grafana asks it. */
function filledIn(expression: string): string {
  return expression.replaceAll("$__rate_interval", "20s").replaceAll(/\$(instance|gpu)/g, ".*");
}

/** What is read of a server. */
function namesIn(expressions: readonly string[]): string[] {
  const found = expressions.flatMap((expression) => expression.match(/\b(?:altlas|process)_[a-z_]+/g) ?? []);
  return [...new Set(found)].toSorted();
}

test("each panel of the dashboard has a place of its own, and asks the chosen Prometheus about the chosen servers", () => {
  const taken = new Set<string>();
  for (const { title, gridPos, type, datasource, targets = [] } of dashboard.panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        assert.ok(x < 24 && !taken.has(`${x} ${y}`), `${title} covers another panel`);
        taken.add(`${x} ${y}`);
      }
    if (type === "row") continue;
    assert.equal(datasource?.uid, "${datasource}", title);
    for (const { expr } of targets) assert.match(expr, /instance=~"\$instance"/, title);
  }
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
  assert.deepEqual(
    dashboard.panels.filter(({ type }) => type === "row").map(({ title }) => title),
    ["Health", "Queue", "Latency", "GPUs", "Usage"],
  );
  assert.deepEqual(
    dashboard.templating.list.map(({ name }) => name),
    ["datasource", "instance", "gpu"],
  );
});

test(
  "the configuration and the rules load, and the rules ring when they should",
  { skip: withoutPrometheus },
  async (t) => {
    const folder = newFolder(t);
    for (const file of ["prometheus.yml", "alerts.yml", "alerts.test.yml"])
      writeFileSync(join(folder, file), readFileSync(join(DEPLOY, file)));
    writeFileSync(join(folder, "alt-las.key"), "altlas_key");
    for (const args of [
      ["check", "config", "prometheus.yml"],
      ["test", "rules", "alerts.test.yml"],
    ]) {
      const { code, stdout, stderr } = await runProgram("promtool", args, { cwd: folder });
      assert.equal(code, 0, stdout + stderr);
    }
    for (const { alert, annotations } of rules)
      for (const name of ["summary", "runbook"]) assert.match(annotations[name] ?? "", /\.$/, `${alert}: ${name}`);
  },
);

test(
  "every metric that the dashboard and the rules name is scraped, and every panel shows something",
  { skip: withoutPrometheus },
  async (t) => {
    const server = await busyServer(t);
    if (server === null) return t.skip(NO_GPU_STUBS);
    const prometheus = await Prometheus.start(t, configFor(t, server));
    await prometheus.finds("altlas_ready == 1");
    await happen(server);
    // Rates need some scrapes.
    await prometheus.finds('count_over_time(altlas_http_requests_total{route="unknown"}[20s]) >= 3');
    const { rules: loaded } = (await prometheus.ask<{ groups: { rules: { health: string }[] }[] }>("rules")).groups[0]!;
    assert.equal(loaded.length, rules.length);
    assert.ok(loaded.every(({ health }) => health !== "err"));

    const scraped = new Set(await prometheus.ask<string[]>("label/__name__/values"));
    const asked = [
      ...panels,
      ...rules.map(({ expr }) => expr),
      ...dashboard.templating.list.map((one) => one.definition ?? ""),
    ];
    assert.deepEqual(
      namesIn(asked).filter((name) => !scraped.has(name)),
      [],
    );

    const empty: string[] = [];
    for (const expression of panels)
      if ((await prometheus.query(filledIn(expression))).length === 0) empty.push(expression);
    assert.deepEqual(empty, []);
    for (const { expr } of rules) await prometheus.query(expr);
    assert.deepEqual(
      (await prometheus.query('up{job="alt-las"}')).map(({ value }) => value[1]),
      ["1"],
    );
    await server.stop();
    assert.deepEqual((await prometheus.finds('up{job="alt-las"} == 0')).length, 1);
  },
);
