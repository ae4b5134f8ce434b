/** The short form of the chaos suite: a server that is killed, stalled, drained and robbed of its disk keeps what it has promised. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../helpers/server.ts";

const LAST_LINE =
  /^chaos: seed \d+, (?<kills>\d+) kills \((?<servers>\d+) servers, (?<workers>\d+) workers\), \d+ stalls, \d+ drains, \d+ full disks, (?<accepted>\d+) tasks accepted, (?<completed>\d+) completed, \d+ failed, \d+ canceled, \d+ removed, (?<violations>\d+) violations$/;

test("a server under load keeps its promises while it and its workers are killed", async (t) => {
  const suite = spawn(process.execPath, [join(ROOT, "chaos", "main.ts"), "--short"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => void suite.kill());
  let said = "";
  for (const stream of [suite.stdout, suite.stderr]) stream.setEncoding("utf8").on("data", (text) => (said += text));
  const [code] = await once(suite, "close");
  const { kills, servers, workers, accepted, completed, violations } =
    LAST_LINE.exec(said.trimEnd().split("\n").at(-1)!)?.groups ?? {};
  assert.deepEqual([code, violations], [0, "0"], said);
  assert.equal(Number(kills), Number(servers) + Number(workers));
  for (const count of [servers, workers, accepted, completed]) assert.ok(Number(count) > 0, said);
});
