/** Benchmarks of models run to their end and find no errors; their speed counts on a quiet machine only. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runToEnd } from "../helpers/program.ts";

test("the quick benchmark of OpenAI's API compares chats through the server with those of the engine", async (t) => {
  const { said } = await runToEnd(t, "bench/main.ts", "openai", "--quick");
  assert.deepEqual(said.match(/^## .*$/gm), ["## openai"], said);
  const bars = [...said.matchAll(/^- (?:ok|\*\*MISSED\*\*): (.*?): (-?[\d.]+) /gm)].map(([, what, figure]) => [
    what,
    Number(figure),
  ]);
  assert.deepEqual(
    bars.map(([what]) => what),
    [
      "throughput through the server, of direct: chat, random 100M model, 8 at once",
      "added ms to the first text: chat, random 100M model, 8 at once",
    ],
    said,
  );
  assert.ok((bars[0]![1] as number) > 0, said);
});

test("the quick benchmark of answers with a form compares them and their neighbours with free ones", async (t) => {
  const { said } = await runToEnd(t, "bench/main.ts", "constrained", "--quick");
  assert.deepEqual(said.match(/^## .*$/gm), ["## constrained"], said);
  const speeds = [...said.matchAll(/^- .*speed of \d free ones beside .*, of free ones: ([\d.]+) /gm)];
  assert.ok(speeds.length === 2 && speeds.every(([, speed]) => Number(speed) > 0), said);
});
