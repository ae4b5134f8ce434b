/** deploy/compose.cluster.yaml as its first lines say, without Docker: PostgreSQL, three NATS servers, three servers and an agent over TLS. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { test } from "node:test";
import { certify, Composed, HEALTHCHECK, type Started } from "../helpers/composed.ts";
import { NO_NATS } from "../helpers/nats.ts";
import { connected, NO_POSTGRES, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { altLas, lacks, newFolder, runProgram } from "../helpers/server.ts";

const noOpenssl = await lacks(runProgram("openssl", ["version"]), "Debian's openssl");
const skip = NO_NATS || (PROGRAMS === null ? NO_POSTGRES : noOpenssl);
const KEY = "altlas_0123456789012345678901234567890123456789abc";
const NATS = ["nats-1", "nats-2", "nats-3"];
const SERVERS = ["server-1", "server-2", "server-3"];

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

test("the services of compose.cluster.yaml find each other, serve, and go on without one", { skip }, async (t) => {
  const folder = newFolder(t);
  const keys = join(folder, "keys");
  const made = await altLas(["cluster", "init", keys, "--nats", "tls://nats:4222"]);
  assert.equal(made.code, 0, made.stderr);
  const env = { ALT_LAS_API_KEY: KEY, POSTGRES_PASSWORD: "any-long-text" };
  const composed = new Composed(t, folder, env);
  await certify(
    keys,
    [...NATS, ...SERVERS].map((name) => composed.addressOf(name)),
  );
  for (const name of NATS) mkdirSync(join(keys, name));
  for (const name of [...NATS, ...SERVERS, "agent"]) composed.mount(name);

  // The database, as its image makes it of the environment, and its check.
  const {
    POSTGRES_USER: user,
    POSTGRES_DB: database,
    POSTGRES_PASSWORD: password,
  } = composed.environmentOf("postgres");
  const at = composed.addressOf("postgres");
  const postgres = await PostgresServer.start([`listen_addresses=${at}`]);
  t.after(() => postgres.remove());
  appendFileSync(join(postgres.data, "pg_hba.conf"), "host all all 127.0.0.0/8 scram-sha-256\n");
  const admin = await connected(t, postgres.url());
  await admin.query("SELECT pg_reload_conf()");
  await admin.query(`CREATE ROLE ${user} LOGIN PASSWORD '${password}'`);
  await admin.query(`CREATE DATABASE ${database} OWNER ${user}`);
  const [, program, ...args] = composed.services["postgres"]!.healthcheck!.test!;
  assert.equal((await runProgram(join(PROGRAMS!, program!), ["-h", at, ...args])).code, 0);

  using over = new DisposableStack();
  await Promise.all(NATS.map((name) => new Kept(() => composed.start(name), over).says(/Server is ready/)));
  const servers = new Map(SERVERS.map((name) => [name, new Kept(() => composed.start(name), over)]));
  for (const [name, server] of servers) await server.says(new RegExp(`https://${composed.addressOf(name)}:8642`));
  // One leads within seconds.
  const askToken = () => composed.exec("server-1", ["alt-las", "cluster", "token"]);
  let token = await askToken();
  while (token.stderr.includes("No server leads")) token = await askToken();
  const [, JOIN] = /--join '([^']+)'/.exec(token.stdout) ?? assert.fail(token.stderr);
  const agent = composed.start("agent", { JOIN: JOIN! });
  await agent.says(/Machine agent-1 gives 1 GPU to the cluster\./);
  for (const name of SERVERS) {
    while ((await composed.exec(name, HEALTHCHECK)).code !== 0);
    assert.match(composed.services[name]!.ports![0]!, /^127\.0\.0\.1:\d+:8642$/);
  }
  const ca = readFileSync(join(keys, "ca.pem"), "utf8");
  const ask = async (name: string, method: string, path: string, body?: object): Promise<Answer> => {
    const headers = { authorization: `Bearer ${KEY}`, "content-type": "application/json", prefer: "wait=55" };
    const sent = request({ host: composed.addressOf(name), port: 8642, ca, method, path, headers, agent: false });
    sent.end(body && JSON.stringify(body));
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    const told = { status: answer.statusCode!, body: (await json(answer)) as Record<string, unknown> };
    // On a busy machine another server may lead next, at any time.
    return told.body["code"] === "not_ready" ? ask(name, method, path, body) : told;
  };
  const generates = async (name: string): Promise<void> => {
    const { status, body } = await ask(name, "POST", "/api/v1/predict", { text: "Once upon a time", max_length: 4 });
    assert.deepEqual([status, body["status"]], [200, "completed"], JSON.stringify(body));
  };
  for (const name of SERVERS) await generates(name);
  const leaders = async (name: string): Promise<string[]> => {
    const { body } = await ask(name, "GET", "/api/v1/cluster");
    const all = body["servers"] as readonly { readonly address: string; readonly leads: boolean }[];
    assert.equal(all.length, 3);
    return SERVERS.filter((one) =>
      all.some(({ address, leads }) => leads && address.includes(composed.addressOf(one))),
    );
  };
  const [leader] = (await leaders("server-1")) as [string];
  await servers.get(leader)!.kill();
  for (const name of SERVERS) while ((await composed.exec(name, HEALTHCHECK)).code !== 0);
  for (const name of SERVERS) await generates(name);
});

/**
 * A service that is started again when it ends, as `restart: unless-stopped` has it: a server that was slow to begin ends when another one leads,
 * and nats-server 2.15.1 may die of a route that is made as it starts.
 */
class Kept {
  readonly #start: () => Started;
  #now: Started;

  constructor(start: () => Started, over: DisposableStack) {
    const end = new AbortController();
    over.defer(() => end.abort());
    this.#start = start;
    this.#now = start();
    void this.#keep(end.signal);
  }

  async #keep(end: AbortSignal): Promise<void> {
    for (;;) {
      await this.#now.exit;
      if (end.aborted) return;
      this.#now = this.#start();
    }
  }

  async says(what: RegExp): Promise<void> {
    while (
      !(await this.#now.says(what).then(
        () => true,
        () => false,
      ))
    );
  }

  kill(): Promise<void> {
    return this.#now.kill();
  }
}
