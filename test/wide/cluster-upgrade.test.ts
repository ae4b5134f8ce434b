/** Servers and agents of two versions beside each other: real processes. The earlier ones are those of fixtures/servers. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { PostgresStore } from "../../src/store/postgres/postgres.ts";
import { AgentProcess } from "../helpers/agent-process.ts";
import { ask, follow, gpus, outcome, ready, running, wholeText } from "../helpers/cluster-server.ts";
import { earlierServer } from "../helpers/earlier-server.ts";
import { type ServerEvent } from "../helpers/events.ts";
import { NatsServer, NO_NATS } from "../helpers/nats.ts";
import { connected, NO_POSTGRES, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { newFolder, type Owner, Server } from "../helpers/server.ts";

const skip = NO_NATS === false && PROGRAMS === null ? NO_POSTGRES : NO_NATS;
// The key that all of them are asked with.
const env = { ALT_LAS_API_KEY: "altlas_0123456789012345678901234567890123456789abc" };
const AGENT = `
engine: { simulated: { tokens_per_second: 40 } }
gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 2 } }
`;
/** Longer than the servers are upgraded. */
const ENDLESS = 1_000_000;

let postgres: PostgresServer;
/** The `bin/alt-las.js` of messages 2, and of the database's schema 8. */
let earlier: string;
if (skip === false)
  before(async (t) => {
    const owner = t as unknown as Owner;
    earlier = earlierServer(owner, "messages-2");
    postgres = await PostgresServer.start([], "trust");
    owner.after(() => postgres.remove());
  });

const asBefore = () => ({ command: [process.execPath, earlier, "serve"] });
const NOW = { command: undefined };

async function place(t: Owner, schema: string) {
  const nats = await NatsServer.start(t);
  const config = `cluster: { nats: '${nats.url}' }\nstore: { url: '${postgres.url()}', schema: ${schema} }`;
  return { nats, config, old: { config, env, ...asBefore() } };
}

/** A machine whose agent may be upgraded. */
class Machine {
  readonly #owner: Owner;
  readonly #options: { readonly join: string; readonly name: string; readonly devices: string };
  readonly #folder: string;
  #agent: AgentProcess | undefined;

  constructor(owner: Owner, join: string, name: string, devices = "simulated:1") {
    this.#owner = owner;
    this.#options = { join, name, devices };
    this.#folder = newFolder(owner);
  }

  async start(program?: string): Promise<this> {
    const options = { ...this.#options, config: AGENT, ...(program !== undefined && { program }) };
    this.#agent = await AgentProcess.start(this.#owner, options, this.#folder);
    return this;
  }

  /** What runs there ends first. */
  async upgrade(): Promise<void> {
    assert.equal(await this.#agent!.stop(), 0, this.#agent!.said);
    await this.start();
  }
}

async function roleOf(server: Server): Promise<string> {
  return (await server.request<{ role: string }>("GET", "/healthz")).body.role;
}

/** The first GPU of the machine is in service, and the second one is drained. */
async function drainedSecond(server: Server): Promise<void> {
  const cards = async () => (await gpus(server)).map(({ id, machine, status }) => `${id} of ${machine} ${status}`);
  while ((await cards()).join() !== "0 of one ready,1 of one drained") await pause(50);
}

async function submit(server: Server, text: string, tokens: number): Promise<string> {
  const task = await ask<{ task_id: string }>(server, "POST", "/api/v1/predict", { text, max_length: tokens });
  return task.task_id;
}

async function leads(server: Server): Promise<void> {
  await server.logged(({ msg }) => msg === "this server leads the cluster");
}

/** All of them have run once, to their end. */
async function assertEnded(server: Server, tasks: ReadonlyMap<string, number>): Promise<void> {
  for (const [id, tokens] of tasks) {
    const { status, attempts, result } = await outcome(server, id);
    assert.deepEqual([status, attempts.length], ["completed", 1]);
    assert.equal(result!.usage.completion_tokens, tokens);
    assert.equal(result!.text.trim().split(" ").length, tokens);
  }
}

/** Reads the events of a task to its end, at one server after the other. @param at the one after so many others */
async function readOn(
  t: Owner,
  id: string,
  at: (count: number) => Server,
  events: ServerEvent[] = [],
): Promise<ServerEvent[]> {
  const over = new AbortController();
  t.after(() => over.abort());
  const isEnded = (): boolean => ["completed", "canceled"].includes(events.at(-1)?.event ?? "");
  for (let count = 0; !isEnded() && !over.signal.aborted; count++) {
    if (count > 0) await pause(50);
    await follow(at(count), id, { events }).catch(() => {});
  }
  return events;
}

test(
  "a new server stands by beside an old one, and adopts what runs at an old agent; then the old one stands by, and cannot lead",
  { skip },
  async (t) => {
    const { nats, config, old } = await place(t, "servers_first");
    const first = await Server.start(t, old);
    const machine = await new Machine(t, nats.url, "one").start(earlier);
    await ready(first, 1);
    const over = await outcome(first, await submit(first, "over", 3));
    let second = await Server.start(t, { config, env });
    assert.deepEqual([await roleOf(first), await roleOf(second)], ["leader", "standby"]);
    // From a database of the old schema.
    assert.deepEqual((await second.task(over.task_id)).result, over.result);
    const tasks = new Map<string, number>();
    const begin = async (server: Server, text: string, tokens: number): Promise<string> => {
      const id = await submit(server, text, tokens);
      tasks.set(id, tokens);
      return id;
    };
    const runs = [await begin(second, "runs", 200), await begin(second, "runs, too", 200)];
    for (const id of runs) await running(second, id);
    for (let count = 0; count < 6; count++) await begin(second, `waits ${count}`, 10);
    const begun = await follow(second, runs[0]!, { tokens: 5 });
    const reader = readOn(t, runs[0]!, () => second, [...begun]);
    await first.kill9();
    await leads(second);
    const back = await first.restart();
    assert.deepEqual([await roleOf(back), await roleOf(second)], ["standby", "leader"]);
    // The same from a database of a schema that it does not know.
    assert.deepEqual((await back.task(over.task_id)).result, over.result);
    await begin(back, "passed on", 5);
    const there = await readOn(t, runs[0]!, () => back, [...begun]);
    const { result } = await outcome(back, runs[0]!);
    for (const events of [there, await reader]) assert.equal(wholeText(events), result!.text);
    await assertEnded(back, tasks);

    const waits = await begin(back, "nobody leads", 100);
    await running(back, waits);
    assert.deepEqual(await second.stop(), { code: 0, signal: null });
    const cannot = /^this server cannot lead the cluster: .* was written by a newer version of ALT_LAS \(schema \d+/;
    await back.logged(({ msg }) => cannot.test(msg));
    const { status, headers } = await back.request("GET", "/api/v1/gpus");
    assert.deepEqual([status, headers.get("retry-after")], [503, "1"]);
    assert.deepEqual((await back.task(over.task_id)).result, over.result);
    second = await second.restart();
    assert.deepEqual([await roleOf(back), await roleOf(second)], ["standby", "leader"]);
    await assertEnded(back, tasks);
    await machine.upgrade();
    await ready(back, 1);
    await begin(back, "of a new agent", 5);
    await assertEnded(back, tasks);
  },
);

test(
  "a new agent obeys an old server, and that server, upgraded where it is, adopts what runs there",
  { skip },
  async (t) => {
    const nats = await NatsServer.start(t);
    const first = await Server.start(t, { config: `cluster: { nats: '${nats.url}' }`, ...asBefore() });
    const machine = await new Machine(t, nats.url, "one", "simulated:2").start(earlier);
    await ready(first, 2);
    const over = await first.run({ text: "over", max_length: 3 });
    assert.equal((await first.request("POST", "/api/v1/gpus/1/drain", { body: {} })).status, 200);
    await machine.upgrade();
    await drainedSecond(first);
    const batch = Array.from({ length: 6 }, (_, index) => ({
      text: `task ${index}`,
      max_length: index < 2 ? 120 : 10,
    }));
    const { tasks } = await first.batch({ batch });
    const ids = tasks.map(({ task_id }) => task_id);
    await running(first, ids[0]!);
    await running(first, ids[1]!);
    const events = await follow(first, ids[0]!, { tokens: 5 });
    await first.kill9();
    const second = await first.restart(NOW);
    await drainedSecond(second);
    assert.deepEqual((await second.task(over.task_id)).result, over.result);
    await readOn(t, ids[0]!, () => second, events);
    assert.equal(wholeText(events), (await second.ended(ids[0]!)).result!.text);
    await assertEnded(second, new Map(ids.map((id, index) => [id, batch[index]!.max_length])));
  },
);

test("an old leader that wakes while a new one changes the schema leads no more", { skip }, async (t) => {
  const schema = "schema_changes";
  const { old } = await place(t, schema);
  const first = await Server.start(t, old);
  const database = await connected(t, postgres.url());
  first.signal("SIGSTOP");
  const lease = `SELECT expires_at::text AS stale FROM ${schema}.lease`;
  const { stale } = (await database.query<{ stale: string }>(lease)).rows[0]!;
  await database.query(`BEGIN; LOCK TABLE ${schema}.tasks IN ACCESS SHARE MODE`);
  const opened = openNext(t, { url: postgres.url(), schema, stale });
  const waits = `SELECT 1 FROM pg_locks WHERE relation = '${schema}.tasks'::regclass AND NOT granted`;
  while ((await database.query(waits)).rowCount === 0) await pause(20);
  const over = new AbortController();
  void first.exit.then(() => over.abort());
  // It renews its lease, if it can, and says that it is there, both each second, unless it has ended already.
  const seen = async () => JSON.stringify((await database.query(`SELECT seen_at FROM ${schema}.servers`)).rows);
  for (let count = 0, last = await seen(); count < 3 && !over.signal.aborted; count++) {
    if (count === 0) first.signal("SIGCONT");
    while ((await seen()) === last && (await seen()) !== "[]" && !over.signal.aborted) await pause(20);
    last = await seen();
  }
  await database.query("COMMIT");
  await opened;
  assert.deepEqual(await first.exit, { code: 1, signal: null });
});

/** As a server does that stands by: again when it waits too long for a step of the schema, or a process of its last try has not ended yet. */
async function openNext(
  t: Owner,
  { url, schema, stale }: { readonly url: string; readonly schema: string; readonly stale: string },
): Promise<void> {
  for (;;) {
    const store = new PostgresStore({ url, schema, dataDir: newFolder(t), member: { id: randomUUID(), stale } });
    try {
      await store.open();
      return t.after(() => store.close());
    } catch (error) {
      await store.close();
      const { code } = error as { code?: string };
      assert(code === "store_unavailable" || code === "conflict", String(error));
    }
  }
}

/** Clients that submit one task after the other, each once, at one server after the other. */
class Load {
  readonly ids = new Set<string>();
  readonly #servers: readonly Server[];
  readonly #over: Promise<unknown>;
  #ends = false;

  constructor(t: Owner, servers: readonly Server[]) {
    this.#servers = servers;
    t.after(() => void (this.#ends = true));
    this.#over = Promise.all([this.#submit(0), this.#submit(1)]);
  }

  async #submit(client: number): Promise<void> {
    for (let number = 0; !this.#ends; number++) {
      const headers = { "idempotency-key": `${client}-${number}` };
      const once = new Set<string>();
      for (let tries = client; once.size === 0 || tries % 3 > 0; tries++) {
        await pause(20);
        const server = this.#servers[tries % this.#servers.length]!;
        const body = { text: `task ${number} of ${client}`, max_length: 4 };
        const answer = await server
          .request<{ task_id: string }>("POST", "/api/v1/predict", { body, headers })
          .catch(() => null);
        if (answer === null || answer.status === 503) continue;
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
        once.add(answer.body.task_id);
      }
      assert.equal(once.size, 1, "a task was doubled");
      for (const id of once) this.ids.add(id);
    }
  }

  async end(): Promise<ReadonlySet<string>> {
    this.#ends = true;
    await this.#over;
    return this.ids;
  }
}

test(
  "an upgrade of servers and agents, one after the other, loses and doubles no task, and events go on from server to server",
  { skip },
  async (t) => {
    const { nats, old } = await place(t, "rolling");
    const servers = [await Server.start(t, old)];
    servers.push(...(await Promise.all([Server.start(t, old), Server.start(t, old)])));
    const machines = await Promise.all(["one", "two"].map((name) => new Machine(t, nats.url, name).start(earlier)));
    await ready(servers[0]!, 2);
    const id = await submit(servers[0]!, "is read", ENDLESS);
    await running(servers[1]!, id);
    // First where a server is upgraded first, then at the one that leads until it is.
    const order = [2, 0, 1];
    const reader = readOn(t, id, (count) => servers[order[count % 3]!]!);
    const load = new Load(t, servers);
    for (const index of [2, 1, 0]) {
      assert.deepEqual(await servers[index]!.stop(), { code: 0, signal: null });
      servers[index] = await servers[index]!.restart(NOW);
    }
    const roles = async (): Promise<string[]> => (await Promise.all(servers.map(roleOf))).toSorted();
    while ((await roles())[0] !== "leader") await pause(50);
    assert.deepEqual(await roles(), ["leader", "standby", "standby"]);
    await ask(servers[0]!, "POST", `/api/v1/task/${id}/cancel`);
    const events = await reader;
    const { result } = await outcome(servers[0]!, id);
    assert.equal(wholeText(events, "canceled"), result!.text);
    for (const machine of machines) {
      await machine.upgrade();
      await ready(servers[0]!, 2);
    }
    const ids = await load.end();
    for (const one of ids) {
      const { status, result: answer } = await outcome(servers[1]!, one);
      assert.deepEqual([status, answer!.usage.completion_tokens], ["completed", 4]);
    }
    const { total } = await ask<{ total: number }>(servers[2]!, "GET", "/api/v1/tasks?limit=1");
    assert.equal(total, ids.size + 1);
  },
);
