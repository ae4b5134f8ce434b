/**
 * The protocol of leaders and agents against a plain model: a database with a lease and an epoch, which refuses writes under any other. Servers
 * lead while they renew the lease. They are frozen, cut off from the database, replaced and woken in any order, while tasks are given, messages
 * lost and ends written. One that was replaced goes on commanding agents until its database tells it.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import type { ClusterPool } from "../../src/cluster/cluster-pool.ts";
import { MOST_MISSED } from "../../src/cluster/messages.ts";
import { Role } from "../../src/cluster/role.ts";
import { completionOf } from "../../src/request.ts";
import type { Task } from "../../src/task.ts";
import { BEAT, ClusterWorld, type Run } from "../helpers/cluster-world.ts";
import type { MemoryBus } from "../helpers/memory-bus.ts";

const SPEED = "engine: { simulated: { tokens_per_second: 400 } }";
const GPUS = 2;
const TOKENS = 12;
const SERVERS = 3;
/** Looks for which a lease lasts, and after which its holder is not sure any more that it leads. */
const LIMITS = { lasts: 3, silent: 2 };

interface Row {
  status: "queued" | "running" | "completed";
  /** As it was written last. */
  task: Task;
  /** Tokens of its text. */
  tokens: number;
}

/** What PostgreSQL is to the protocol. */
class Database {
  epoch = 1;
  lease = { holder: 0, renewals: 0 };
  readonly rows: Row[] = [];

  /** @returns whether it was written */
  write(epoch: number, change: () => void): boolean {
    if (epoch === this.epoch) change();
    return epoch === this.epoch;
  }

  /** @returns false: another server has it */
  renew(server: number): boolean {
    if (this.lease.holder !== server) return false;
    this.lease = { holder: server, renewals: this.lease.renewals + 1 };
    return true;
  }

  /** @param stale what the lease said when it was seen last @returns false: another server was faster */
  take(server: number, stale: string | null): boolean {
    if (stale !== String(this.lease.renewals)) return false;
    this.lease = { holder: server, renewals: this.lease.renewals + 1 };
    this.epoch++;
    return true;
  }
}

/** A server as long as it leads, or believes so. */
class Leader {
  readonly queued = new Set<Row>();
  /** As this server has them. */
  readonly tasks = new Map<Row, Task>();
  /** Changes that its database has not answered. */
  readonly unsaved: (() => void)[] = [];
  readonly server: number;
  readonly epoch: number;
  pool!: ClusterPool;
  bus!: MemoryBus;
  isFrozen = false;
  isCutOff = false;
  /** Looks of others since it has renewed its lease. */
  age = 0;

  constructor(server: number, epoch: number) {
    this.server = server;
    this.epoch = epoch;
  }
}

class Protocol {
  readonly #world: ClusterWorld;
  readonly #database = new Database();
  readonly #standbys = new Map<number, Role>();
  /** Those that live, the last one to lead last. */
  #leaders: Leader[] = [];
  #lost = 0;
  #gpu = 0;

  private constructor(world: ClusterWorld) {
    this.#world = world;
    world.hub.loses = () => this.#lost > 0 && this.#lost-- > 0;
    for (let server = 1; server < SERVERS; server++) this.#standbys.set(server, new Role(LIMITS));
  }

  static async start(world: ClusterWorld): Promise<Protocol> {
    const protocol = new Protocol(world);
    world.bus.isUp = false;
    await protocol.#leads(new Leader(0, 1));
    return protocol;
  }

  /** The one that has the lease. */
  get #leader(): Leader | undefined {
    return this.#leaders.find(({ server, epoch }) => {
      return server === this.#database.lease.holder && epoch === this.#database.epoch;
    });
  }

  /** Steps of clients and of the weather. */
  readonly steps: Readonly<Record<string, () => void | Promise<void>>> = {
    submit: () => this.#submit(),
    place: () => this.#placeOne(this.#leader),
    // One that was replaced and does not know it.
    placeLate: () => this.#placeOne(this.#leaders.find((one) => one !== this.#leader && !one.isFrozen)),
    renew: () => this.#renew(),
    look: () => this.#look(),
    lookLong: async () => {
      for (let look = 0; look <= LIMITS.lasts; look++) await this.#look();
    },
    freeze: () => this.#freeze(this.#leader),
    wake: () => this.#wake(),
    cutOff: () => {
      if (this.#leader !== undefined) this.#leader.isCutOff = true;
    },
    heal: () => this.#heal(),
    lose: () => {
      this.#lost = 5;
    },
    wait: () => sleep(BEAT),
    // As long as a leader hears of another one before it leads on.
    waitLong: () => sleep(BEAT * (MOST_MISSED + 2)),
  };

  #submit(): void {
    const leader = this.#leader;
    // Its clients are answered by nobody.
    if (leader === undefined || leader.isFrozen || leader.isCutOff) return;
    const task = this.#world.task(completionOf("hello", { maxTokens: TOKENS }));
    const row: Row = { task: structuredClone(task), status: "queued", tokens: 0 };
    leader.tasks.set(row, task);
    leader.queued.add(row);
    this.#save(leader, () => this.#database.rows.push(row));
  }

  #placeOne(leader: Leader | undefined): void {
    const row = leader?.queued.values().next().value;
    if (leader === undefined || row === undefined || leader.isFrozen) return;
    leader.queued.delete(row);
    const task = leader.tasks.get(row)!;
    // A run goes to its agent before it is on disk, and may be there when the leader dies in between.
    const run = this.#as(leader, () => this.#world.run(this.#gpu++ % GPUS, "hello", TOKENS, task));
    this.#saveTask(leader, row, "running");
    void this.#follow(row, run, leader);
  }

  /** Does something with the pool of one of the leaders. */
  #as<T>({ pool }: Leader, work: () => T): T {
    const { pool: last } = this.#world;
    this.#world.pool = pool;
    try {
      return work();
    } finally {
      this.#world.pool = last;
    }
  }

  /** Writes the end of a run, as the leader that has given it or adopted it. */
  async #follow(row: Row, run: Run, leader: Leader): Promise<void> {
    const { status } = await this.#world.ended(run);
    if (!this.#leaders.includes(leader)) return;
    const isWhole = status === "completed";
    if (!isWhole) leader.queued.add(row);
    const tokens = run.text.trim().split(" ").length;
    this.#saveTask(leader, row, isWhole ? "completed" : "queued", tokens);
  }

  #saveTask(leader: Leader, row: Row, status: Row["status"], tokens = 0): void {
    const task = structuredClone(leader.tasks.get(row)!);
    this.#save(leader, () => {
      assert.notEqual(row.status, "completed", `task ${task.id} ends a second time`);
      Object.assign(row, { status, task, tokens });
      if (status === "completed") this.#world.stored(task);
    });
  }

  #save(leader: Leader, change: () => void): void {
    if (leader.isCutOff) leader.unsaved.push(change);
    else if (!this.#database.write(leader.epoch, change)) this.#end(leader);
  }

  #renew(): void {
    for (const leader of this.#leaders.filter((one) => !one.isFrozen && !one.isCutOff)) {
      if (this.#database.renew(leader.server)) leader.age = 0;
      else this.#end(leader);
    }
  }

  /** All that stand by look at once, and may try at once. */
  async #look(): Promise<void> {
    for (const leader of this.#leaders) leader.age++;
    const { holder, renewals } = this.#database.lease;
    const lease = { holder: String(holder), expiresAt: String(renewals) };
    const leader = { id: String(holder), url: "", secret: "" };
    const todos = Array.from(this.#standbys, ([server, role]) => {
      return { server, role, todo: role.looked({ lease, isFree: false, leader }) };
    });
    for (const { server, role, todo } of todos) {
      if (todo.do === "wait") continue;
      const age = this.#leader?.age ?? Infinity;
      if (this.#database.take(server, todo.stale)) {
        assert(age > LIMITS.lasts, `server ${server} has taken over after ${age} looks`);
        this.#standbys.delete(server);
        await this.#leads(new Leader(server, this.#database.epoch));
      } else role.refused();
    }
  }

  async #leads(leader: Leader): Promise<void> {
    const world = this.#world;
    // The one before may live, and be heard.
    world.bus = world.hub.connect();
    world.isSure = () => leader.age < LIMITS.silent;
    await world.nextLeader(undefined, GPUS);
    Object.assign(leader, { pool: world.pool, bus: world.bus });
    this.#leaders.push(leader);
    for (const row of this.#database.rows) this.#takeOver(leader, row);
    leader.pool.restored();
  }

  #takeOver(leader: Leader, row: Row): void {
    const task = structuredClone(row.task);
    leader.tasks.set(row, task);
    if (row.status === "queued") leader.queued.add(row);
    if (row.status !== "running") return;
    const run = this.#world.adopt(task);
    if (run !== null) return void this.#follow(row, run, leader);
    leader.queued.add(row);
    this.#saveTask(leader, row, "queued");
  }

  #freeze(leader: Leader | undefined): void {
    if (leader === undefined) return;
    leader.isFrozen = true;
    leader.bus.isUp = false;
  }

  #wake(): void {
    for (const leader of this.#leaders) {
      leader.isFrozen = false;
      leader.bus.isUp = true;
    }
  }

  #heal(): void {
    for (const leader of this.#leaders) {
      leader.isCutOff = false;
      for (const change of leader.unsaved.splice(0)) this.#save(leader, change);
    }
  }

  /** Its process ends, and stands by when it is started again. */
  #end(leader: Leader): void {
    if (!this.#leaders.includes(leader)) return;
    assert.notEqual(leader, this.#leader, "the database has refused the one that has the lease");
    this.#leaders = this.#leaders.filter((one) => one !== leader);
    leader.bus.isUp = false;
    void leader.pool.stop();
    this.#standbys.set(leader.server, new Role(LIMITS));
  }

  /** No server from before takes the agents back. */
  check(): void {
    const epochs = this.#leaders.map(({ pool }) => pool.status().epoch);
    assert.deepEqual(
      epochs,
      epochs.toSorted((one, other) => one - other),
    );
  }

  /** All are left in peace: whatever was accepted has to end. */
  async settle(): Promise<void> {
    this.#lost = 0;
    this.#wake();
    this.#heal();
    this.#renew();
    assert.equal(this.#leaders.length, 1);
    const [leader] = this.#leaders;
    while (this.#database.rows.some(({ status }) => status !== "completed")) {
      this.#placeOne(leader);
      await sleep(1);
    }
    for (const { tokens, task } of this.#database.rows) assert.equal(tokens, TOKENS, task.id);
    // Every slot is free, as nothing runs any more.
    const last = await Promise.all([0, 1].map((gpu) => this.#world.ended(this.#world.run(gpu, "free?", 2))));
    assert.deepEqual(
      last.map(({ status }) => status),
      ["completed", "completed"],
    );
  }
}

/** How often each step is drawn. */
const WEIGHTS = {
  submit: 4,
  place: 4,
  placeLate: 2,
  renew: 2,
  look: 1,
  lookLong: 3,
  freeze: 2,
  wake: 2,
  cutOff: 2,
  heal: 1,
  lose: 1,
  wait: 3,
  waitLong: 1,
};

test("whatever becomes of leaders, each task ends once, with a whole text, under the epoch that counts", async (t) => {
  const step = fc.oneof(...Object.entries(WEIGHTS).map(([name, weight]) => ({ arbitrary: fc.constant(name), weight })));
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), (steps) => play(t, steps)),
    { numRuns: Number(process.env["ALT_LAS_MODEL_RUNS"] ?? 20), endOnFailure: true },
  );
});

async function play(t: TestContext, steps: readonly string[]): Promise<void> {
  const world = await ClusterWorld.start(t);
  world.isAlone = true;
  await world.agent("one", SPEED, `simulated:${GPUS}`);
  for (let gpu = 0; gpu < GPUS; gpu++) await world.became(gpu, "ready");
  const protocol = await Protocol.start(world);
  for (const step of steps) {
    await protocol.steps[step]!();
    protocol.check();
  }
  await protocol.settle();
}
