/** A benchmark runs to its end and finds no errors; its speed counts on a quiet machine only. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runToEnd } from "../helpers/program.ts";

test("the quick benchmark of submitting measures single tasks and batches, and none of them fails", async (t) => {
  const { said } = await runToEnd(t, "bench/main.ts", "submit", "--quick");
  assert.deepEqual(said.match(/^## .*$/gm), ["## submit", "## submit: batches"], said);
  assert.deepEqual(said.match(/^- .*errors: .*$/gm), Array(2).fill("- ok: errors: 0 (at most 0)"), said);
  const rates = [...said.matchAll(/^- .*tasks\/s [^:]*: (\d+) /gm)].map(([, rate]) => Number(rate));
  assert.ok(rates.length === 2 && rates.every((rate) => rate > 0), said);
});

test("the quick benchmark of many models on few GPUs keeps its bars", async (t) => {
  const { said, code } = await runToEnd(t, "bench/main.ts", "models", "--quick");
  assert.equal(code, 0, said);
  assert.match(said, /\| +clairvoyant \|/);
});

test("the quick benchmark of batches of files compares them with the same tasks in bodies", async (t) => {
  const { said } = await runToEnd(t, "bench/main.ts", "batch-files", "--quick");
  assert.deepEqual(said.match(/^## .*$/gm), ["## batch-files"], said);
  const rates = [...said.matchAll(/^\| +(file|predict) \| +(\d+) \|/gm)].map(([, way, rate]) => [
    way,
    Number(rate) > 0,
  ]);
  assert.deepEqual(rates, [
    ["file", true],
    ["predict", true],
  ]);
});

test("the quick guard compares this checkout with itself by all of its figures", async (t) => {
  const { said } = await runToEnd(t, "bench/main.ts", "guard", "--quick", "--checkout", ".");
  assert.deepEqual(said.match(/^## .*$/gm), ["## guard"], said);
  const ratios = [...said.matchAll(/^- .*, ratio: ([\d.]+) /gm)].map(([, ratio]) => Number(ratio));
  assert.equal(ratios.length, 7, said);
  assert.ok(
    ratios.every((ratio) => ratio > 0),
    said,
  );
});
