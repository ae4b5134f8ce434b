/** The short form of the chaos suite: whatever is done to a server, it keeps what it has promised. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../helpers/server.ts";

const LAST_LINE =
  /^chaos: seed \d+, (?<faults>\d+) faults \((?<each>[^)]+)\), (?<accepted>\d+) tasks accepted, (?<completed>\d+) completed, \d+ failed, \d+ canceled, \d+ removed, (?<violations>\d+) violations$/;

/** What cannot be done on every machine. */
const SKIPPABLE = new Set(process.env.CI === undefined ? ["full disks", "clock steps"] : []);

test("a server under load keeps its promises while it is killed, robbed, crowded and lied to", async (t) => {
  const suite = spawn(process.execPath, [join(ROOT, "chaos", "main.ts"), "--short"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => void suite.kill());
  let said = "";
  for (const stream of [suite.stdout, suite.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text));
  const [code] = await once(suite, "close");
  const last = LAST_LINE.exec(said.trimEnd().split("\n").at(-1)!)?.groups;
  assert.deepEqual([code, last?.violations], [0, "0"], said);
  const counts = new Map(last!.each!.split(", ").map((one) => [one.replace(/^\d+ /, ""), Number.parseInt(one, 10)]));
  assert.equal(
    Number(last!.faults),
    [...counts.values()].reduce((sum, count) => sum + count),
  );
  for (const [what, count] of counts) assert.ok(count > 0 || SKIPPABLE.has(what), `${what}: ${said}`);
  for (const count of [last!.accepted, last!.completed]) assert.ok(Number(count) > 0, said);
});
