/** Machines join with tokens, and may do no more than they have to: a real NATS server refuses the rest (docs/cluster.md). */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect, credsAuthenticator, type NatsConnection } from "@nats-io/transport-node";
import { credentialsFile, newAccount, newToken, tokenOf } from "../../src/cluster/credentials.ts";
import { JOINS } from "../../src/cluster/messages.ts";
import { AgentProcess } from "../helpers/agent-process.ts";
import { gpus, ready, running } from "../helpers/cluster-server.ts";
import { runCommand } from "../helpers/command.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { newFolder, type Owner, Server } from "../helpers/server.ts";

const skip = NO_NATS;
const SLOW = "engine: { simulated: { tokens_per_second: 5 } }";

interface World {
  readonly nats: NatsServer;
  readonly server: Server;
  /** Where the keys are. */
  readonly keys: string;
}

async function world(t: Owner): Promise<World> {
  const keys = join(newFolder(t), "keys");
  const made = await runCommand(["cluster", "init", keys, "--nats", "nats://127.0.0.1:4222"]);
  assert.equal(made.code, 0, made.stderr);
  const conf = join(keys, "nats.conf");
  // On a port of its own.
  writeFileSync(conf, readFileSync(conf, "utf8").replace(/^listen:.*$/m, ""));
  const nats = await NatsServer.start(t, ["-c", conf]);
  const yaml = /^cluster:\n(?: {2}.*\n)+/m.exec(made.stdout)![0].replace("nats://127.0.0.1:4222", nats.url);
  return { nats, keys, server: await Server.start(t, { config: yaml }) };
}

/** The line that a new machine is given. */
async function token({ server }: World, ...name: readonly string[]): Promise<string> {
  const { stdout, stderr } = await runCommand(["cluster", "token", ...name, "--url", server.url], {
    env: { ALT_LAS_API_KEY: server.key },
  });
  assert.match(stderr, /Other machines do not find nats:\/\/127\.0\.0\.1:\d+: --nats URL/);
  const [, line, ...named] = /^\S+(?: \S+)? agent --join '([^']+)'(?: --name (\S+))?\n$/.exec(stdout)!;
  assert.deepEqual(
    named.filter((one) => one !== undefined),
    name,
  );
  return line!;
}

const OTHERS = ["alt-las.agent.two.*", "alt-las.agent.>", "alt-las.news.*", "alt-las.text.>", "alt-las.join.*", ">"];
const OTHERS_TO = [
  "alt-las.news.two",
  "alt-las.text.two.a",
  "alt-las.beat",
  "alt-las.agent.two.a",
  "alt-las.joined.a",
  "_INBOX.a",
];

/** What a connection is refused that wants all that is others'. */
async function refusals(connection: NatsConnection): Promise<string> {
  const statuses = connection.status();
  const own = connection.subscribe("alt-las.agent.one.*", { callback: () => {} });
  for (const subject of OTHERS) connection.subscribe(subject, { callback: () => {} });
  for (const subject of OTHERS_TO) connection.publish(subject, "hello");
  const said: string[] = [];
  for await (const status of statuses) {
    if (status.type === "error") said.push(String(status.error));
    if (said.length === OTHERS.length + OTHERS_TO.length) break;
  }
  assert(!own.isClosed());
  await connection.close();
  return said.join("\n");
}

test("a token lets one machine in, once, and the machine is in again without one", { skip }, async (t) => {
  const cluster = await world(t);
  const { nats, server } = cluster;
  const given = await token(cluster);
  const folder = newFolder(t);
  const one = await AgentProcess.start(t, { join: given, name: "one" }, folder);
  await ready(server, 1);
  assert.equal((await server.run({ text: "hello", max_length: 3 })).status, "completed");
  const file = join(folder, "data", "machine.creds");
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const again = await AgentProcess.start(t, { join: given, name: "two" });
  assert.equal(await again.exit, 1);
  assert.match(again.said, /The token has been used, by machine one: a token lets one machine in/);
  const name = await AgentProcess.start(t, { join: await token(cluster), name: "one" });
  assert.match(name.said, /The cluster has a machine one that lives\. Give this one another name/);
  // Started anew as its unit of systemd would, with the line that it was given.
  await one.stop();
  const known = await AgentProcess.start(t, { join: given, name: "one" }, folder);
  await ready(server, 1);
  await known.stop();
  const thief = await AgentProcess.start(t, { join: await token(cluster), name: "one" });
  assert.match(thief.said, /The cluster knows a machine one\. .* alt-las cluster token one\./);
  const anew = await AgentProcess.start(t, { join: await token(cluster, "one"), name: "one" });
  await ready(server, 1);
  await anew.stop();
  const renamed = await AgentProcess.start(t, { join: given, name: "three" }, folder);
  assert.match(renamed.said, /machine\.creds has the credentials of machine one, and this is machine three/);
  const stranger = await AgentProcess.start(t, { join: nats.url, name: "four" });
  assert.match(stranger.said, /cannot be used: .*uthori.*alt-las cluster token prints the line/);
  const nonsense = await AgentProcess.start(t, { join: `${nats.url}#abc`, name: "five" });
  assert.match(nonsense.said, /What stands behind # in --join is no token: alt-las cluster token prints another one/);
  const audited = await server.request<{ rows: { target: string | null }[] }>(
    "GET",
    "/api/v1/audit?action=machine.invite",
  );
  assert.deepEqual(
    audited.body.rows.map(({ target }) => target),
    ["one", null, null, null],
  );
});

test("a machine that is locked out is cut off at once, for as long as no new token lets it in", { skip }, async (t) => {
  const cluster = await world(t);
  const { nats, server } = cluster;
  const folder = newFolder(t);
  const one = await AgentProcess.start(t, { join: await token(cluster), name: "one", config: SLOW }, folder);
  await ready(server, 1);
  const { task_id } = await server.predict({ text: "hello", max_length: 400 });
  await running(server, task_id);
  await AgentProcess.start(t, { join: await token(cluster), name: "two" });
  await ready(server, 2);
  const authenticator = credsAuthenticator(readFileSync(join(folder, "data", "machine.creds")));
  const spy = await connect({ servers: nats.url, authenticator, reconnect: false });
  const env = { ALT_LAS_API_KEY: server.key };
  const revoked = await runCommand(["cluster", "revoke", "one", "--url", server.url], { env });
  assert.equal(revoked.stdout, "Machine one is locked out. The NATS servers refuse its credentials.\n", revoked.stderr);
  assert.match(String(await spy.closed()), /uthori|revoked/i);
  const refused = () => assert.rejects(connect({ servers: nats.url, authenticator, reconnect: false }), /uthori/);
  await refused();
  assert.deepEqual(
    (await server.ended(task_id)).attempts.map(({ reason }) => reason),
    ["machine_lost", "completed"],
  );
  await one.stop();
  const shown = await runCommand(["cluster", "--url", server.url], { env });
  assert.match(shown.stdout, /^one +locked out /m);
  const again = await runCommand(["cluster", "revoke", "one", "--url", server.url, "--json"], { env });
  assert.deepEqual(JSON.parse(again.stdout), { machine: "one", credentials: "revoked" });
  const nobody = await runCommand(["cluster", "revoke", "six", "--url", server.url], { env });
  assert.match(nobody.stderr, /The cluster knows no machine "six"\./);
  // The NATS server knows by itself, also when it is started anew before the server of ALT_LAS is there again.
  await server.stop();
  await nats.kill();
  await nats.restart();
  await refused();
  const next = await server.restart();
  const join1 = await token({ ...cluster, server: next }, "one");
  await AgentProcess.start(t, { join: join1, name: "one" }, folder);
  await ready(next, 2);
  await refused();
  const audited = await next.request<{ rows: { target: string | null }[] }>(
    "GET",
    "/api/v1/audit?action=machine.revoke",
  );
  assert.deepEqual(new Set(audited.body.rows.map(({ target }) => target)), new Set(["one", "six"]));
});

test("a machine's credentials, and a token, allow nothing that is another's", { skip }, async (t) => {
  const { nats, server, keys } = await world(t);
  const given = await token({ nats, server, keys });
  const folder = newFolder(t);
  await AgentProcess.start(t, { join: given, name: "one" }, folder);
  await ready(server, 1);
  const heard: string[] = [];
  const server0 = readFileSync(join(keys, "server.creds"));
  const spy = await connect({ servers: nats.url, authenticator: credsAuthenticator(server0) });
  for (const subject of [
    "alt-las.news.two",
    "alt-las.text.>",
    "alt-las.agent.two.*",
    "alt-las.joined.*",
    "alt-las.join.*",
  ])
    spy.subscribe(subject, { callback: (_error, message) => void heard.push(message.subject) });
  await spy.flush();
  const creds = readFileSync(join(folder, "data", "machine.creds"));
  const one = await connect({ servers: nats.url, authenticator: credsAuthenticator(creds) });
  const said = await refusals(one);
  for (const subject of OTHERS) assert(said.includes(`Subscription to "${subject}"`), said);
  for (const subject of OTHERS_TO) assert(said.includes(`Publish to "${subject}"`), said);
  const { id, jwt, seed } = tokenOf(given.split("#")[1]!)!;
  const authenticator = credsAuthenticator(Buffer.from(credentialsFile(jwt, seed)));
  const holder = await connect({ servers: nats.url, authenticator });
  assert.throws(() => holder.publish(JOINS + id, new Uint8Array(5000)), /max_payload/);
  await holder.close();
  await spy.flush();
  assert.deepEqual(heard, []);
  await spy.close();
  assert.deepEqual(
    (await gpus(server)).map(({ machine }) => machine),
    ["one"],
  );
});

test("a token that has expired, and one of another cluster, are refused with a sentence", { skip }, async (t) => {
  const { nats, keys } = await world(t);
  const seed = readFileSync(join(keys, "account.nk"), "utf8").trim();
  const old = await newToken(seed, Date.now() - 3_601_000);
  const other = await newToken((await newAccount()).seed, Date.now());
  for (const given of [old, other]) {
    const agent = await AgentProcess.start(t, { join: `${nats.url}#${given}`, name: "one" });
    assert.match(agent.said, /The token has expired, or is of another NATS server: alt-las cluster token prints/);
  }
  await assert.rejects(
    Server.start(t, { config: `cluster: { nats: '${nats.url}', signing_key: '${join(keys, "server.creds")}' }` }),
    /cluster\.signing_key: .*server\.creds has no key of a NATS account/,
  );
});
