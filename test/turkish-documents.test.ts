/** The Turkish documents say what the others say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import schemas from "../clients/schemas.json" with { type: "json" };
import { STRATEGIES, TASK_STATUSES } from "../src/task.ts";
import { BATCH_STATUSES } from "../src/tasks/task-api.ts";
import { blocksOf, textOf } from "./helpers/documents.ts";

/** The names in the first column of the table that begins with a heading. */
function names(path: string, heading: string): string[] {
  const [, rows] = new RegExp(`^\\| ${heading} \\|.*\n\\|[-| ]+\\|\n((?:\\|.*\n)+)`, "m").exec(textOf(path))!;
  return Array.from(rows!.matchAll(/^\| (.+?) \|/gm), ([, cell]) =>
    cell!.match(/`[^`]+`/g)!.map((one) => one.slice(1, -1)),
  ).flat();
}

test("the commands of README.tr.md are README's, which a test runs", () => {
  const known = new Set(blocksOf("README.md").map(({ text }) => text));
  for (const { text, language } of blocksOf("README.tr.md")) assert.ok(known.has(text), `${language}: ${text}`);
});

test("the Turkish tables have the strategies, the statuses of batches and fields that there are", () => {
  assert.deepEqual(names("README.tr.md", "strateji").toSorted(), STRATEGIES.toSorted());
  assert.deepEqual(names("docs/tr/api.md", "batch durumu").toSorted(), BATCH_STATUSES.toSorted());
  const text = textOf("docs/tr/api.md");
  for (const status of TASK_STATUSES) assert.ok(text.includes(`\`${status}\``), status);
  const { properties } = schemas.$defs.PredictRequest;
  const known = new Set([
    ...Object.keys(properties),
    "stream",
    ...Object.keys(properties.gpu_options.properties).map((name) => `gpu_options.${name}`),
  ]);
  const tables = text.split("## Görev durumu")[0]!;
  assert.ok(tables.includes("| alan | varsayılan |"));
  assert.deepEqual(
    names("docs/tr/api.md", "alan").filter((name) => !known.has(name)),
    [],
  );
});
