/** Which machines a token lets in, and under which names. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { agent } from "../src/cli/agent.ts";
import { keyOf, newAccount, newSeed, newToken, tokenOf } from "../src/cluster/credentials.ts";
import { GpuIds } from "../src/cluster/gpu-ids.ts";
import { Joins } from "../src/cluster/joins.ts";
import { type JoinAnswer, JOINED, JOINS, MACHINE_NAME } from "../src/cluster/messages.ts";
import { parseConfig } from "../src/config/config.ts";
import { TokenRequest } from "../src/http/schemas/cluster.ts";
import { ClusterWorld } from "./helpers/cluster-world.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { Hub, type MemoryBus } from "./helpers/memory-bus.ts";
import { opened, STORES } from "./helpers/store.ts";

interface World {
  readonly bus: MemoryBus;
  readonly present: Set<string>;
  readonly ids: GpuIds;
  /** For each machine that was let in, whether its key was told to be revoked. */
  readonly revoked: boolean[];
  /** The id of a new token. */
  token(machine?: string): Promise<string>;
  /** Called while a server looks whether a machine is there. */
  meanwhile: () => void;
  /** Another server leads. */
  restart(): void;
}

async function world(t: TestContext): Promise<World> {
  const hub = new Hub();
  const { store } = await opened(t, STORES["SqliteStore"]!);
  const { seed } = await newAccount();
  const present = new Set<string>();
  const revoked: boolean[] = [];
  const ids = GpuIds.open(temporaryFolder(t));
  const asked = {
    ids,
    isPresent: async (name: string) => {
      made.meanwhile();
      return present.has(name);
    },
    remembered: async (hasRevoked: boolean) => void revoked.push(hasRevoked),
  };
  const log = pino({ level: "silent" });
  const lead = () => new Joins({ bus: hub.connect(), store, now: () => 0, seed, log, ...asked }).listen();
  let end = lead();
  const made: World = {
    bus: hub.connect(),
    present,
    ids,
    revoked,
    token: async (machine) => tokenOf(await newToken(seed, Date.now(), machine))!.id,
    meanwhile: () => {},
    restart: () => {
      end();
      end = lead();
    },
  };
  return made;
}

async function newKey(): Promise<string> {
  return keyOf(await newSeed());
}

/** @returns "in", or why not */
async function ask({ bus }: World, token: string, machine: string, key: string): Promise<string> {
  const answered = Promise.withResolvers<JoinAnswer>();
  const end = bus.listen(JOINED + token, (answer) => answered.resolve(answer as JoinAnswer));
  bus.send(JOINS + token, { machine, key });
  const { jwt, refused = "" } = await answered.promise;
  end();
  return jwt === undefined ? refused : "in";
}

test("a token lets its machine in again, and no other name for the same key", async (t) => {
  const cluster = await world(t);
  cluster.present.add("one");
  const [token, key] = [await cluster.token(), await newKey()];
  assert.equal(await ask(cluster, token, "evil", key), "in");
  assert.equal(await ask(cluster, token, "evil", key), "in");
  for (const name of ["one", "two"])
    assert.match(await ask(cluster, token, name, key), /^The token has been used, by machine evil: /);
  assert.match(await ask(cluster, token, "evil", await newKey()), /^The token has been used, by machine evil: /);
});

test("a name that the cluster knows is given to nobody, unless an admin has made a token for it", async (t) => {
  const cluster = await world(t);
  cluster.ids.remember("one", [{ key: "a" }]);
  const key = await newKey();
  const known = /^The cluster knows a machine one\. .* alt-las cluster token one\.$/;
  assert.match(await ask(cluster, await cluster.token(), "one", key), known);
  const named = await cluster.token("one");
  assert.match(await ask(cluster, named, "two", key), /^The token is for machine one: --name one\.$/);
  cluster.present.add("one");
  assert.match(await ask(cluster, named, "one", key), /^The cluster has a machine one that lives\./);
  cluster.present.delete("one");
  assert.equal(await ask(cluster, named, "one", key), "in");
});

test("a machine that was let in has its name, also before it comes, and after the server is another one", async (t) => {
  const cluster = await world(t);
  const key = await newKey();
  assert.equal(await ask(cluster, await cluster.token(), "one", key), "in");
  cluster.restart();
  assert.match(await ask(cluster, await cluster.token(), "one", await newKey()), /^The cluster knows a machine one\./);
  // Its answer was lost, and it was given another token.
  assert.equal(await ask(cluster, await cluster.token(), "one", key), "in");
});

test("a machine that is locked out comes in by a new token and a new key alone", async (t) => {
  const cluster = await world(t);
  const { ids } = cluster;
  const [token, key] = [await cluster.token(), await newKey()];
  assert.equal(await ask(cluster, token, "one", key), "in");
  const early = await cluster.token("one");
  assert.equal(ids.lockOut("one", "ada").key, key);
  assert.deepEqual([ids.revoked, ids.lockOf("one")!.by, [...ids.machines]], [[key], "ada", []]);
  // Its token may be used again within the hour by whoever has the key.
  for (const given of [token, await cluster.token("one")])
    assert.match(
      await ask(cluster, given, "one", key),
      /^The key of machine one was locked out\. Remove machine\.creds/,
    );
  const other = await newKey();
  assert.match(await ask(cluster, early, "one", other), /^The token was made before machine one was locked out\./);
  assert.match(await ask(cluster, await cluster.token(), "one", other), /^The cluster knows a machine one\./);
  while (Date.now() <= ids.lockOf("one")!.at);
  assert.equal(await ask(cluster, await cluster.token("one"), "one", other), "in");
  assert.equal(ids.lockOf("one"), null);
});

test("a machine that is locked out while it joins stays so", async (t) => {
  const cluster = await world(t);
  const { ids } = cluster;
  const [first, second] = [await newKey(), await newKey()];
  assert.equal(await ask(cluster, await cluster.token(), "one", first), "in");
  ids.remember("two", [{ key: "a" }]);
  const [one, two] = [await cluster.token("one"), await cluster.token("two")];
  cluster.meanwhile = () => void ids.lockOut("one", "ada");
  assert.match(await ask(cluster, one, "one", first), /^The key of machine one was locked out\./);
  cluster.meanwhile = () => void ids.lockOut("two", "ada");
  assert.match(await ask(cluster, two, "two", second), /^The token was made before machine two was locked out\./);
  assert.deepEqual([ids.lockOf("one")?.by, ids.lockOf("two")?.by, ids.revoked], ["ada", "ada", [first]]);
});

test("of each name the newest credentials count, and those before are revoked", async (t) => {
  const cluster = await world(t);
  const [first, second] = [await newKey(), await newKey()];
  const token = await cluster.token();
  assert.equal(await ask(cluster, token, "one", first), "in");
  assert.equal(await ask(cluster, await cluster.token("one"), "one", second), "in");
  assert.deepEqual([cluster.ids.revoked, cluster.revoked], [[first], [false, true]]);
  assert.match(await ask(cluster, token, "one", first), /^The key of machine one was locked out/);
});

test("of two machines that ask for one name at once, one has it", async (t) => {
  const cluster = await world(t);
  const letIn = new Set<string>();
  const all = await Promise.all(
    Array.from({ length: 5 }, async () => [await cluster.token(), await newKey()] as const),
  );
  for (const [token] of all) cluster.bus.listen(JOINED + token, (answer) => void ("jwt" in answer && letIn.add(token)));
  for (const [token, key] of all) cluster.bus.send(JOINS + token, { machine: "one", key });
  // Those that nobody has answered ask again.
  await Promise.all(all.map(([token, key]) => again(cluster, token, key)));
  assert.equal(letIn.size, 1);
});

/** Asks until it is answered, as an agent does. */
async function again(cluster: World, token: string, key: string): Promise<string> {
  const answer = ask(cluster, token, "one", key);
  const timer = setInterval(() => cluster.bus.send(JOINS + token, { machine: "one", key }), 20);
  return answer.finally(() => clearInterval(timer));
}

test("a server that begins to lead knows which machines live before it lets any in", async (t) => {
  const cluster = await ClusterWorld.start(t);
  await cluster.agent("one");
  await cluster.became(0, "ready");
  const started = cluster.nextLeader();
  assert.equal(await cluster.pool.isPresent("one"), true);
  assert.equal(await cluster.pool.isPresent("two"), false);
  await started;
});

test("the API takes the names that machines may have", () => {
  assert.ok(JSON.stringify(TokenRequest).includes(JSON.stringify(MACHINE_NAME.source)));
});

test("an agent takes an empty --join for none", async (t) => {
  const place = { config: parseConfig("", "config.yaml"), dataDir: temporaryFolder(t), name: "one", join: "" };
  await assert.rejects(agent(place, pino({ level: "silent" })), {
    message: /^An agent needs the address of the cluster/,
  });
});
