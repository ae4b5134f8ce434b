/** The API's document, read by a linter that others use. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startLocalServer } from "../helpers/local-server.ts";
import { newFolder, ROOT, runProgram } from "../helpers/server.ts";

/** Health checks need nothing that could be wrong, so they have no answer of 4xx. */
const RULES = { extends: ["recommended"], rules: { "operation-4xx-response": "off" } };

/** A task that is only tried out: as an alternative in the answer it would take the fields of a task from generated clients. */
const BESIDE = 'Component: "DryRun" is never used.';

test("the document has no error and no warning, with all APIs served", async (t) => {
  const config = "api: { anthropic: true, ollama: true }";
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const folder = newFolder(t);
  const [document, rules] = [join(folder, "openapi.json"), join(folder, "redocly.yaml")];
  writeFileSync(document, JSON.stringify((await server.request("GET", "/openapi.json")).body));
  writeFileSync(rules, JSON.stringify(RULES));
  const linter = join(ROOT, "node_modules", "@redocly", "cli", "bin", "cli.js");
  const args = ["lint", document, "--config", rules, "--format", "json", "--max-problems", "100"];
  const env = { REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" };
  const { stdout, stderr } = await runProgram(process.execPath, [linter, ...args], { env });
  const { totals, problems } = JSON.parse(stdout) as {
    totals: { errors: number; warnings: number };
    problems: readonly { ruleId: string; message: string }[];
  };
  const others = problems.filter(({ message }) => message !== BESIDE);
  assert.deepEqual(others, [], stderr);
  assert.deepEqual([totals.errors, totals.warnings], [0, problems.length]);
});
