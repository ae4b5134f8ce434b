/** The short form of the chaos suite of a cluster: whatever dies, no task is lost, doubled or stuck. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_NATS } from "../helpers/nats.ts";
import { NO_POSTGRES, PROGRAMS } from "../helpers/postgres.ts";
import { runToEnd } from "../helpers/program.ts";

const skip = NO_NATS !== false ? NO_NATS : PROGRAMS === null ? NO_POSTGRES : false;

test(
  "a cluster keeps its promises while its parts are killed, frozen and cut off from each other",
  { skip },
  async (t) => {
    const { code, said, lastLine } = await runToEnd(t, "chaos/chaos.ts", "--cluster", "--short");
    const last = /^(?<faults>\d+) faults, (?<accepted>\d+) accepted, (?<violations>\d+) violations$/.exec(
      lastLine,
    )?.groups;
    assert.deepEqual([code, last?.["violations"]], [0, "0"], said);
    assert(Number(last!["faults"]) >= 20, said);
    assert(Number(last!["accepted"]) > 0, said);
  },
);
