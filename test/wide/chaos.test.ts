/** The short form of the chaos suite: whatever is done to a server, it keeps what it has promised. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runToEnd } from "../helpers/program.ts";

const LAST_LINE =
  /^chaos: seed \d+, (?<faults>\d+) faults \((?<each>[^)]+)\), (?<accepted>\d+) tasks accepted, (?<completed>\d+) completed, \d+ failed, \d+ canceled, \d+ removed, (?<violations>\d+) violations$/;

/** What cannot be done on every machine. */
const SKIPPABLE = new Set(process.env.CI === undefined ? ["full disks", "clock steps"] : []);

test("a server under load keeps its promises while it is killed, robbed, crowded and lied to", async (t) => {
  const { code, said, lastLine } = await runToEnd(t, "chaos/main.ts", "--short");
  const last = LAST_LINE.exec(lastLine)?.groups;
  assert.deepEqual([code, last?.violations], [0, "0"], said);
  const counts = new Map(last!.each!.split(", ").map((one) => [one.replace(/^\d+ /, ""), Number.parseInt(one, 10)]));
  assert.equal(
    Number(last!.faults),
    [...counts.values()].reduce((sum, count) => sum + count),
  );
  for (const [what, count] of counts) assert.ok(count > 0 || SKIPPABLE.has(what), `${what}: ${said}`);
  for (const count of [last!.accepted, last!.completed]) assert.ok(Number(count) > 0, said);
});
