/** The short form of the soak suite: what clients do all day, on a simulated GPU and on a real model, goes well. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runToEnd } from "../helpers/program.ts";

const LAST_LINE =
  /^soak: seed \d+, (?<accepted>\d+) tasks accepted, (?<completed>\d+) completed, \d+ failed, \d+ canceled, (?<violations>\d+) violations, exit status 0$/;

test("two servers under steady load keep their promises and tell no bugs", async (t) => {
  const { code, said, lastLine } = await runToEnd(t, "soak/main.ts", "--short");
  const last = LAST_LINE.exec(lastLine)?.groups;
  assert.deepEqual([code, last?.["violations"]], [0, "0"], said);
  for (const count of [last!["accepted"], last!["completed"]]) assert.ok(Number(count) > 0, said);
});
