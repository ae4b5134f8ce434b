/** Benchmarks of streams run to their end and find no errors; their speed counts on a quiet machine only. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runToEnd } from "../helpers/program.ts";

test("the quick benchmark of being seen compares servers that are seen with one that is not, and times scrapes", async (t) => {
  const { said } = await runToEnd(t, "bench/main.ts", "observe", "--quick");
  const sections = ["## observe: submissions", "## observe: streaming", "## observe: scrapes"];
  assert.deepEqual(said.match(/^## .*$/gm), sections, said);
  const ratios = [...said.matchAll(/^- .*with metrics.*, of those without: ([\d.]+) /gm)];
  assert.ok(ratios.length === 4 && ratios.every(([, ratio]) => Number(ratio) > 0), said);
  assert.match(said, /^- ok: series: \d+ \(at most 3000\)$/m);
});

test("the quick benchmark of short streamed tasks prices them by both APIs, and none of them fails", async (t) => {
  const { said } = await runToEnd(t, "bench/main.ts", "streamed", "--quick");
  assert.deepEqual(said.match(/^## .*$/gm), ["## streamed"], said);
  const rates = [...said.matchAll(/^\| +(predict|chat) \| +(\d+) \|/gm)].map(([, way, rate]) => [
    way,
    Number(rate) > 0,
  ]);
  assert.deepEqual(rates, [
    ["predict", true],
    ["chat", true],
  ]);
});
