/** How a cluster looks to an operator. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { clusterCommand } from "../src/cli/remote/cluster.ts";
import type { ClusterStatus, MachineStatus } from "../src/cluster/status.ts";
import { warningsOf } from "../src/cluster/warnings.ts";
import type { ClusterAnswer } from "../src/http/schemas/cluster.ts";
import { runCommand } from "./helpers/command.ts";
import { newFolder } from "./helpers/server-handle.ts";
import { AS, get, KEYS, listening, refusal, testServer } from "./helpers/http.ts";

const ONE: MachineStatus = {
  name: "one",
  gone: null,
  lockedOut: null,
  gpus: 2,
  running: 3,
  protocol: 3,
  heartbeatAge: 0.5,
  unacknowledged: 0,
  clockAhead: 0.2,
};
const GONE = { ...ONE, name: "two", gone: "Machine two has given no sign of life for 3 s.", heartbeatAge: null };
const STANDBY = { name: "db2", state: "streaming", isSynchronous: false, lagBytes: 100, lagSeconds: 1.5 };
const SEEN: Omit<ClusterStatus, "warnings"> = {
  id: "the-cluster",
  epoch: 7,
  nats: { at: "nats://127.0.0.1:4222", isUp: true },
  servers: [{ name: "host", version: "1.2.3", leads: true }],
  machines: [ONE, GONE, { ...ONE, name: "old", protocol: 1, clockAhead: -60, unacknowledged: 5000 }],
  database: { at: "postgres://db/alt", standbys: [STANDBY, { ...STANDBY, name: "db3", isSynchronous: true }] },
};

const refuse = () => Promise.reject(new Error("nobody is asked"));
const NOBODY = { invite: refuse, lockOut: refuse };

async function seen(): Promise<ClusterStatus> {
  return { ...SEEN, warnings: [...warningsOf(SEEN)] };
}

test("what is wrong with a cluster is said, a sentence each", () => {
  assert.deepEqual(
    [...warningsOf(SEEN)],
    [
      "Machine two has given no sign of life for 3 s.",
      "The agent of machine old is of the version before: upgrade it.",
      "The clock of machine old is 60 s behind the server's: set it by NTP. Times of its events are wrong, and certificates may be refused.",
      "Machine old has 5000 commands to obey: its network or its agent is slow.",
      "No commit at postgres://db/alt waits for its standby db2: a failover of PostgreSQL to it may lose answered tasks. Name it in synchronous_standby_names.",
    ],
  );
  assert.deepEqual([...warningsOf({ ...SEEN, machines: [ONE], database: null })], []);
  const other = { name: "other", version: "1.2.3", leads: false, address: "http://other:8642" };
  const servers = [
    { ...other, heartbeatAge: 0.9 },
    { ...other, name: "dead", heartbeatAge: 654.3 },
  ];
  assert.deepEqual(
    [...warningsOf({ ...SEEN, servers, machines: [ONE], database: null })],
    ["The server dead at http://other:8642 has given no sign of life for 654 s."],
  );
});

test("admins see servers, machines and standbys of the database, by the API and by the command", async (t) => {
  const { app } = testServer(t, undefined, {
    cluster: { status: seen, ...NOBODY },
  });
  const url = `http://127.0.0.1:${await listening(app)}`;
  const printed = await clusterCommand({ url, key: KEYS.admin }, { columns: 120, colour: false, json: false });
  for (const line of [
    /^Cluster the-cluster, epoch 7, over nats:\/\/127\.0\.0\.1:4222$/,
    /^host +1\.2\.3 +yes$/,
    /^one +present +2 +3 +0\.5 s +0 +\+0\.2 s$/,
    /^two +gone +2 +3 +- +0 +\+0\.2 s$/,
    /^db2 +streaming +no +100 B, 1\.5 s$/,
    /^db3 +streaming +yes/,
    /^Machine two has given no sign of life/,
  ])
    assert(
      printed.split("\n").some((one) => line.test(one)),
      `${line}\n${printed}`,
    );
});

test("all of it is in the language of whoever looks", async (t) => {
  const { app } = testServer(t, undefined, {
    cluster: { status: seen, ...NOBODY },
  });
  const headers = { ...AS.admin, "accept-language": "tr" };
  const { machines, warnings } = (await get(app, "/cluster", headers)).json<ClusterAnswer>();
  assert.equal(machines[1]!.reason, "two makinesi 3 sn boyunca yaşam belirtisi vermedi.");
  assert.equal(warnings.length, 5);
  for (const warning of warnings) assert.doesNotMatch(warning, ENGLISH);
  const env = { LC_ALL: "", LC_MESSAGES: "", LANG: "tr_TR.UTF-8", ALT_LAS_API_KEY: KEYS.admin };
  const url = `http://127.0.0.1:${await listening(app)}`;
  const { stdout } = await runCommand(["cluster", "--url", url], { env });
  assert.match(stdout, /^Küme the-cluster, dönem 7, /);
  assert.match(stdout, /^SUNUCU +SÜRÜM +YÖNETİR/m);
  assert.doesNotMatch(stdout, ENGLISH);
  const { stdout: made } = await runCommand(
    ["cluster", "init", join(newFolder(t), "keys"), "--nats", "nats://127.0.0.1:4222"],
    { env },
  );
  assert.doesNotMatch(made, ENGLISH);
});

const ENGLISH = /(?<![\w.-])(?:the|is|of|over|each|its|for|with|has)(?![\w.:-])/i;

test("a server that serves alone says so", async (t) => {
  const { app } = testServer(t);
  assert.match(refusal(await get(app, "/cluster", AS.admin), 404, "not_found"), /cluster\.nats is not set/);
});
