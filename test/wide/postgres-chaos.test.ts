/** The short form of the chaos suite with the tasks on PostgreSQL. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_POSTGRES, PROGRAMS } from "../helpers/postgres.ts";
import { runToEnd } from "../helpers/program.ts";

const LAST_LINE =
  /^chaos: seed \d+, (?<faults>\d+) faults \((?<each>[^)]+)\), (?<accepted>\d+) tasks accepted, .* (?<violations>\d+) violations$/;

test(
  "a server keeps its promises while its PostgreSQL is killed, restarted, frozen, filled and cut off",
  { skip: PROGRAMS === null ? NO_POSTGRES : false },
  async (t) => {
    const { code, said, lastLine } = await runToEnd(t, "chaos/main.ts", "--short", "--store", "postgres");
    const last = LAST_LINE.exec(lastLine)?.groups;
    assert.deepEqual([code, last?.violations], [0, "0"], said);
    for (const what of ["kills of PostgreSQL", "restarts of it", "freezes of it", "commits cut off"])
      assert.match(last!.each!, new RegExp(`[1-9]\\d* ${what}`), said);
    // How many there are in that time depends on the machine.
    assert.ok(Number(last!.faults) >= 10 && Number(last!.accepted) > 0, said);
  },
);
