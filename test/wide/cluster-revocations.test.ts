/** Credentials that a real NATS server is to refuse, told by servers that lead one after the other, in this process. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { pino } from "pino";
import { initCommand } from "../../src/cli/cluster-init.ts";
import {
  accountJwt,
  credentialsFile,
  keyOf,
  lookupsOf,
  machineJwt,
  newAccount,
  newSeed,
  newToken,
  type OperatorKeys,
  revokedIn,
  systemCredentials,
  updatesOf,
} from "../../src/cluster/credentials.ts";
import { connectMachine } from "../../src/cluster/join.ts";
import { operatorKeys, signingKey } from "../../src/cluster/key-files.ts";
import { askNats, type NatsQuestions } from "../../src/cluster/nats-bus.ts";
import { openCluster } from "../../src/cluster/open-cluster.ts";
import { Revocations, type RevocationsParts } from "../../src/cluster/revocations.ts";
import { believeAuthority } from "../../src/common/own-authority.ts";
import { parseConfig } from "../../src/config/config.ts";
import { newCertificate } from "../helpers/certificate.ts";
import { temporaryFolder } from "../helpers/http.ts";
import { Hub } from "../helpers/memory-bus.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { opened, STORES } from "../helpers/store.ts";

const skip = NO_NATS;
const silent = pino({ level: "silent" });

class World {
  readonly #t: TestContext;
  readonly nats: NatsServer;
  readonly folder: string;
  readonly seed: string;
  readonly keys: OperatorKeys;
  readonly hub = new Hub();

  private constructor(t: TestContext, nats: NatsServer, folder: string, seed: string) {
    this.#t = t;
    this.nats = nats;
    this.folder = folder;
    this.seed = seed;
    this.keys = operatorKeys(join(folder, "operator.nk"))!;
  }

  /** @param more lines of the configuration of NATS */
  static async start(t: TestContext, more = ""): Promise<World> {
    const folder = join(temporaryFolder(t), "keys");
    await initCommand(folder, "nats://127.0.0.1:4222");
    const conf = join(folder, "nats.conf");
    // On a port of its own.
    writeFileSync(conf, readFileSync(conf, "utf8").replace(/^listen:.*$/m, more));
    const nats = await NatsServer.start(t, ["-c", conf]);
    return new World(t, nats, folder, (await signingKey(join(folder, "account.nk")))!);
  }

  /** A server that knows these, until the end of the test. */
  server(revoked: readonly string[], more: Partial<RevocationsParts> = {}) {
    const bus = this.hub.connect();
    const place = { urls: [this.nats.url], bus, seed: this.seed, keys: this.keys, log: silent };
    const revocations = new Revocations({ ...place, ids: { revoked }, share: async () => {}, ...more });
    this.#t.after(() => revocations.close());
    return { bus, revocations };
  }

  async ask<T>(work: (nats: NatsQuestions, account: string) => Promise<T>): Promise<T> {
    const account = await keyOf(this.seed);
    const credentials = await systemCredentials(this.keys.system, account, Date.now());
    return askNats({ urls: [this.nats.url], credentials, name: "test", log: silent }, (nats) => work(nats, account));
  }

  /** Public keys that the NATS server refuses. */
  async refused(): Promise<Set<string>> {
    const jwt = await this.ask((nats, account) => nats.ask(lookupsOf(account)));
    return new Set(Object.keys(await revokedIn(jwt, this.keys.operator)));
  }
}

async function newKey(): Promise<string> {
  return keyOf(await newSeed());
}

test("a leader that has been replaced takes nothing back that the next one has told", { skip }, async (t) => {
  const world = await World.start(t);
  const [both, late] = [await newKey(), await newKey()];
  const before = world.server([both]);
  assert.equal(await before.revocations.tell(), true);
  const next = world.server([both, late]);
  assert.equal(await next.revocations.tell(), true);
  assert.deepEqual(await world.refused(), new Set([both, late]));
  await before.bus.set(false);
  await before.bus.set(true);
  assert.equal(await before.revocations.tell(), true);
  assert.deepEqual(await world.refused(), new Set([both, late]));
});

test("a server that cannot be sure that it leads tells nothing, until it can", { skip }, async (t) => {
  const world = await World.start(t);
  const key = await newKey();
  let leads = false;
  const share = async (): Promise<void> => assert(leads, "another server leads");
  const { revocations } = world.server([key], { share });
  assert.equal(await revocations.tell(), false);
  assert.equal(revocations.isTold, false);
  assert.deepEqual(await world.refused(), new Set());
  leads = true;
  assert.equal(await revocations.tell(), true);
  assert.deepEqual(await world.refused(), new Set([key]));
});

test("what NATS servers have lost they are told again", { skip }, async (t) => {
  const world = await World.start(t);
  const key = await newKey();
  const shared = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let count = 0;
  const share = async (): Promise<void> => shared[count++]?.resolve();
  const { revocations } = world.server([key], { share, pause: 20 });
  await shared[0]!.promise;
  await revocations.tell();
  assert.deepEqual(await world.refused(), new Set([key]));
  const { jwt } = await accountJwt(world.seed, world.keys.operator);
  await world.ask((nats, account) => nats.ask(updatesOf(account), jwt));
  await shared[1]!.promise;
  await revocations.tell();
  assert.deepEqual(await world.refused(), new Set([key]));
});

test("a list that is too long for NATS is named as such", { skip }, async (t) => {
  const world = await World.start(t, "max_payload: 4096");
  const revoked = await Promise.all(Array.from({ length: 60 }, newKey));
  const said: string[] = [];
  const log = pino({ level: "warn" }, { write: (line) => void said.push((JSON.parse(line) as { msg: string }).msg) });
  const { revocations } = world.server(revoked, { log });
  assert.equal(await revocations.tell(), false);
  assert.match(said[0]!, /their list has \d+ bytes, and a message of theirs no more than 4096; raise max_payload/);
});

test("a machine is cut off also when its lock could not be stored at once", { skip }, async (t) => {
  const { nats, folder, seed } = await World.start(t);
  const own = await newSeed();
  const key = await keyOf(own);
  const dataDir = temporaryFolder(t);
  const file = { version: 1, epoch: 1, gpus: [], joined: [{ machine: "one", key }] };
  writeFileSync(join(dataDir, "cluster.json"), JSON.stringify(file));
  const { store } = await opened(t, STORES["SqliteStore"]!);
  let isAway = true;
  const share = async (): Promise<void> => assert(!isAway, "the database is away");
  const paths = `credentials: ${folder}/server.creds, signing_key: ${folder}/account.nk, operator_key: ${folder}/operator.nk`;
  const config = parseConfig(`cluster: { nats: "${nats.url}", ${paths} }`, "config.yaml");
  const bus = new Hub().connect();
  const lead = { member: { share, servers: async () => [], leads: () => true }, bus };
  const cluster = await openCluster({ config, dataDir, log: silent, store, now: () => 0, lead });
  t.after(() => cluster.close());
  cluster.openPool({ changed: () => {}, lost: () => {}, wanted: () => {} });
  const authenticator = credsAuthenticator(Buffer.from(credentialsFile(await machineJwt(seed, "one", key), own)));
  const machine = await connect({ servers: nats.url, authenticator, reconnect: false });
  await assert.rejects(cluster.lockOut("one", "ada"), /the database is away/);
  assert.equal((await cluster.status()).nats.knowsLockouts, false);
  isAway = false;
  assert.match(String(await machine.closed()), /uthori|revoked/i);
});

test(
  "a machine that does not believe a NATS server's certificate does not take that for a refusal",
  { skip },
  async (t) => {
    const folder = temporaryFolder(t);
    const { cert, key } = newCertificate("localhost", undefined, "250102000000Z");
    writeFileSync(join(folder, "cert.pem"), cert);
    writeFileSync(join(folder, "key.pem"), key);
    believeAuthority(join(folder, "cert.pem"));
    const files = ["--tlscert", join(folder, "cert.pem"), "--tlskey", join(folder, "key.pem")];
    const { port } = await NatsServer.start(t, ["--tls", ...files]);
    const { seed } = await newAccount();
    const token = await newToken(seed, Date.now());
    const place = { urls: [`tls://localhost:${port}`], token, machine: "one", dataDir: folder, log: silent };
    await assert.rejects(connectMachine(place), /cannot be used: .*certificate has expired/);
  },
);
