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
