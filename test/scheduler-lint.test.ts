/** The lint rule that keeps the scheduler's folder to decisions: a pattern that matches nothing would be silent. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { testFolder } from "./helpers/store.ts";

const ROOT = resolve(import.meta.dirname, "..");

const REFUSED: readonly (readonly [file: string, line: string])[] = [
  ["src/scheduler/store.ts", 'export { type Store } from "../store/store.ts";'],
  ["src/scheduler/tasks.ts", 'export { type Writer } from "../tasks/writer.ts";'],
  ["src/scheduler/http.ts", 'export { listen } from "../http/listen.ts";'],
  ["src/scheduler/pool.ts", 'export { type GpuPool } from "../gpu/pool.ts";'],
  ["src/scheduler/files.ts", 'export { readFileSync } from "node:fs";'],
  ["src/scheduler/package.ts", 'export { pino } from "pino";'],
  ["src/scheduler/later.ts", 'export const later = (): Promise<unknown> => import("../main.ts");'],
  ["src/scheduler/timer.ts", "export const timer = (): unknown => setTimeout(() => {}, 1);"],
  ["src/scheduler/clock.ts", "export const clock = (): number => performance.now();"],
  ["src/scheduler/date.ts", "export const date = (): unknown => new Date();"],
  ["src/scheduler/strategies/fleet.ts", 'export { Fleet } from "../fleet.ts";'],
  ["src/scheduler/strategies/files.ts", 'export { readFileSync } from "node:fs";'],
];

const ALLOWED: readonly (readonly [file: string, line: string])[] = [
  ["src/scheduler/own.ts", 'export { Fleet } from "./fleet.ts";'],
  ["src/scheduler/strategy.ts", 'export { strategies } from "./strategies/index.ts";'],
  ["src/scheduler/words.ts", 'export { type Task } from "../task.ts";'],
  ["src/scheduler/facts.ts", 'export { type GpuFacts } from "../gpu/facts.ts";'],
  ["src/scheduler/strategies/placement.ts", 'export { type Gpu } from "../placement.ts";'],
  ["src/tasks/store.ts", 'export { type Store } from "../store/store.ts";'],
];

test("the linter refuses imports, timers and clocks in the scheduler's folder, and nothing else there", (t) => {
  const folder = testFolder(t);
  copyFileSync(join(ROOT, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
  for (const path of ["src/scheduler/strategies", "src/tasks"]) mkdirSync(join(folder, path), { recursive: true });
  for (const [file, line] of [...REFUSED, ...ALLOWED]) writeFileSync(join(folder, file), `${line}\n`);
  const oxlint = join(ROOT, "node_modules/oxlint/bin/oxlint");
  const { stdout } = spawnSync(process.execPath, [oxlint, "-f", "json", "src"], { cwd: folder, encoding: "utf8" });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  const refused = diagnostics.filter(({ code }) => code.includes("no-restricted")).map(({ filename }) => filename);
  assert.deepEqual(
    refused.toSorted(),
    REFUSED.map(([file]) => file).toSorted((a, b) => (a < b ? -1 : 1)),
  );
});
