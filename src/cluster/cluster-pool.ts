/** The GPUs of all machines of a cluster, as the server that leads has them: it gives work to their agents, and hears what becomes of it. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { wallTime } from "../common/clock.ts";
import { messageOf } from "../errors.ts";
import type { GpuFacts, InstanceRef } from "../gpu/facts.ts";
import { modelMeant, type ModelStatus } from "../gpu/models.ts";
import type { Adopted, AnyPool, Elsewhere } from "../gpu/any-pool.ts";
import type { DrainOptions, PoolEvents } from "../gpu/pool.ts";
import type { GpuStatus, InstanceStatus, Readiness } from "../gpu/status.ts";
import type { Output } from "../output.ts";
import type { Request, TextRequest } from "../request.ts";
import type { RunSink, Task } from "../task.ts";
import { TASK_ENDED, TASK_WITHDRAWN } from "../topics.ts";
import type { Bus } from "./bus.ts";
import { allModels, byName, machineStatus, noGpu, readinessOf, withDrain, withoutMachine } from "./cluster-view.ts";
import { Complaints } from "./complaints.ts";
import { EarlyStates } from "./early-states.ts";
import { faultOf } from "./from-agent.ts";
import { type Lockout, lockWords } from "./gpu-ids.ts";
import { Leadership, type LeadershipParts } from "./leadership.ts";
import { clusterRef, Machine, type RunNews, tellDrains } from "./machine.ts";
import {
  type AgentState,
  BEAT_MS,
  BEATS,
  type Command,
  commandsTo,
  type FromAgent,
  MACHINE_NAME,
  newsOf,
  SPOKEN,
} from "./messages.ts";
import { clusterFault, versionFault } from "./versions.ts";
import { OtherServers } from "./other-servers.ts";
import { Questions } from "./questions.ts";
import { RemoteRuns } from "./remote-runs.ts";
import type { ClusterStatus } from "./status.ts";

export interface ClusterPoolParts extends LeadershipParts {
  readonly bus: Bus;
  /** Milliseconds between two signs of life; for tests. */
  readonly beat?: number;
  /** Resolves when a start waits no longer for machines that were here before; for tests. */
  readonly patience?: Promise<void>;
}

/** Signs of life for which a start waits for machines that were here before: a second. */
const PATIENCE = 2;

export class ClusterPool implements AnyPool {
  readonly #parts: ClusterPoolParts;
  readonly #events: PoolEvents;
  /** Of this start of the server. */
  readonly #leader = randomUUID();
  /** By name. */
  readonly #machines = new Map<string, Machine>();
  /** By the ids of their GPUs. */
  readonly #homes = new Map<number, Machine>();
  readonly #runs: RemoteRuns;
  readonly #questions: Questions;
  readonly #ends: (() => void)[] = [];
  readonly #leadership: Leadership;
  readonly #complaints: Complaints;
  readonly #others: OtherServers;
  /** States that machines have told before the tasks of an earlier run were taken over; null: they are. */
  #early: EarlyStates | null = new EarlyStates();
  readonly #heardAll = Promise.withResolvers<void>();
  #joined: (() => void) | null = null;

  constructor(parts: ClusterPoolParts, events: PoolEvents) {
    this.#parts = parts;
    this.#events = events;
    this.#leadership = new Leadership(parts, () => this.#beat());
    this.#complaints = new Complaints(parts.log);
    this.#others = new OtherServers(parts.bus, this.#leadership, this.#complaints, () => this.#beat());
    this.#runs = new RemoteRuns(this.#leadership.epoch);
    this.#questions = new Questions(this.#leadership.epoch);
  }

  /**
   * Tells all agents who leads, and waits a moment for those that were here before.
   * @throws {AltLasError} `conflict`: another server leads here
   */
  async planStart(): Promise<void> {
    const { bus, ids, log, isAlone, beat = BEAT_MS } = this.#parts;
    const all = this.#heardAll;
    // One whose data directory is new does not know whom to wait for.
    const isNew = ids.machines.size === 0;
    const missing = (): string[] => [...ids.machines].filter((name) => this.#machines.get(name)?.whyGone !== null);
    this.#joined = () => !isNew && missing().length === 0 && all.resolve();
    this.#ends.push(this.#others.listen(all.reject));
    // Where the store is shared, it says who leads.
    const mayTell = isAlone ? this.#leadership.begin() : this.#others.ask(PATIENCE * beat);
    await Promise.race([mayTell, all.promise]);
    const timer = setInterval(() => this.#tick(), beat);
    const { patience = sleep(PATIENCE * beat, undefined, { ref: false }) } = this.#parts;
    void patience.then(all.resolve);
    this.#ends.push(
      this.#others.answer(),
      bus.listen(newsOf("*"), (message, name) => this.#hear(name, message)),
      bus.watch({ up: () => this.#onUp(), down: () => log.warn("the connection to NATS is lost") }),
      TASK_ENDED.subscribe(({ task }) => this.#runs.stored(task)),
      TASK_WITHDRAWN.subscribe(({ task }) => this.#runs.withdrawn(task)),
      () => clearInterval(timer),
    );
    this.#joined();
    this.#beat();
    await all.promise;
    this.#joined = null;
    this.#others.started();
    for (const name of missing()) log.warn({ machine: name }, "a machine has not joined yet");
  }

  start(): void {}

  adopt(task: Task, sink: RunSink): Adopted | null {
    const found = this.#early?.find(task) ?? null;
    if (found === null) return null;
    const { machine, run } = found;
    const instance = clusterRef(machine, run.instance);
    const isThere = machine.facts.get(instance.gpuId)?.instances.some(({ id }) => id === instance.id) ?? false;
    return isThere ? { instance, output: this.#runs.adopt({ key: run.key, machine, instance, task, sink }) } : null;
  }

  /** The tasks of an earlier run of the server are taken over: what machines still run for that one is stopped. */
  restored(): void {
    const early = this.#early;
    this.#early = null;
    for (const [machine, state] of early ?? [])
      this.#understand(machine.name, () => this.#runs.reconcile(machine, state));
  }

  /** Calling it twice is harmless. Running tasks go on; the next server that leads decides about them. */
  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0)) end();
    this.#questions.drop();
  }

  // --- what the scheduler wants ----------------------------------------------------------------------------------

  run(instance: InstanceRef, task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    return this.#runs.run(this.#home(instance.gpuId), instance, task, request, sink);
  }

  cancel(_gpuId: number, task: Task): void {
    this.#runs.cancel(task);
  }

  watch(task: Task, isRead: boolean): void {
    this.#runs.watch(task, isRead);
  }

  elsewhere(task: Task): Elsewhere | null {
    return this.#runs.elsewhere(task);
  }

  load(instance: InstanceRef): void {
    this.#give(instance, (local) => ({ type: "load", instance: local }));
  }

  unload(instance: InstanceRef, why: string): void {
    this.#give(instance, (local) => ({ type: "unload", instance: local, why }));
  }

  async prepare(refs: readonly InstanceRef[]): Promise<void> {
    const byMachine = Map.groupBy(refs, ({ gpuId }) => this.#home(gpuId));
    await Promise.all(
      Array.from(byMachine, ([machine, here]) => {
        const instances = here.map(({ gpuId, id }) => ({ gpuId: machine.localId(gpuId), id }));
        return this.#questions.ask(machine, (question) => ({ type: "prepare", question, instances }));
      }),
    );
  }

  /** Asks the machines that have it, one after the other. */
  async countTokens(request: TextRequest, model: string | null): Promise<number | null> {
    for (const machine of this.#present) {
      const tokens = await this.#questions.ask(machine, (question) => ({ type: "count", question, request, model }));
      if (tokens !== null) return tokens;
    }
    return null;
  }

  // --- what an operator wants ------------------------------------------------------------------------------------

  drain(gpuId: number, { by, deadlineSeconds }: DrainOptions): void {
    const machine = this.#known(gpuId);
    this.#parts.ids.setDrained(gpuId, { by, at: wallTime() });
    machine.give({ type: "drain", gpuId: machine.localId(gpuId), by, deadlineSeconds });
    this.#tellAgain(gpuId);
  }

  resume(gpuId: number, by: string): void {
    const machine = this.#known(gpuId);
    this.#parts.ids.setDrained(gpuId, null);
    machine.give({ type: "resume", gpuId: machine.localId(gpuId), by });
    this.#tellAgain(gpuId);
  }

  // A machine's own configuration says what its GPUs serve, and with which limits.
  serve(): void {}
  limit(): void {}
  tryAgain(): void {}

  // --- how it looks ----------------------------------------------------------------------------------------------

  list(loadOf: Parameters<AnyPool["list"]>[0]): GpuStatus[] {
    const all = [...this.#machines.values()].flatMap((machine) =>
      (machine.look?.gpus ?? []).map((gpu) => withoutMachine(gpu, machine)),
    );
    return all.map((gpu) => ({ ...gpu, ...loadOf(gpu.id) })).toSorted((one, other) => one.id - other.id);
  }

  models(): readonly ModelStatus[] {
    return allModels([...this.#machines.values()].flatMap(({ look }) => look?.models ?? []));
  }

  get gpuIds(): readonly number[] {
    return [...this.#homes.keys()].toSorted((one, other) => one - other);
  }

  instances(): readonly InstanceStatus[] {
    return this.list(() => ({ taskCount: 0, load: 0 })).flatMap(({ instances }) => instances);
  }

  modelMeantBy(asked: string): string {
    return modelMeant(asked, this.models())?.name ?? asked;
  }

  modelOfTaskType(type: string): string | null {
    return this.models().find(({ served }) => served?.settings.task_types.includes(type))?.name ?? null;
  }

  readiness(): Readiness {
    if (!this.#parts.bus.isUp) return { ready: false, reason: "There is no connection to NATS (cluster.nats)." };
    return readinessOf(this.#present);
  }

  /** Known once a start has heard the machines that were here before. */
  isPresent(machine: string): Promise<boolean> {
    return this.#heardAll.promise.then(() => this.#machines.get(machine)?.whyGone === null);
  }

  /** Its tasks are tried elsewhere. */
  lockOut(lock: Lockout): void {
    this.#machine(lock.machine).lockOut(lockWords(lock));
  }

  status(): Pick<ClusterStatus, "id" | "epoch" | "machines"> {
    const { ids } = this.#parts;
    for (const { machine } of ids.locked) this.#machine(machine);
    const statuses = Array.from(this.#machines.values(), (one) => machineStatus(one, this.#runs.countOn(one), ids));
    return { id: ids.cluster, epoch: this.#leadership.epoch, machines: byName(statuses) };
  }

  // --- what machines say -----------------------------------------------------------------------------------------

  /** One machine that talks nonsense is no reason to fail the others. */
  #hear(name: string, given: object): void {
    if (!MACHINE_NAME.test(name)) return;
    const message = given as FromAgent;
    const { ids } = this.#parts;
    const fault = versionFault(message.version) ?? faultOf(message) ?? clusterFault(message, ids.cluster);
    if (fault !== null) return this.#complaints.say(name, fault);
    const lock = ids.lockOf(name);
    if (lock !== null) return this.#machine(name).sendAway(message, lockWords(lock));
    this.#understand(name, () => {
      if (message.epoch <= this.#leadership.epoch) return this.#machine(name).receive(message);
      this.#leadership.onLater(name, message.epoch, this.#early !== null);
      this.#machines.get(name)?.obeysAnother();
    });
  }

  #understand(name: string, take: () => void): void {
    try {
      take();
    } catch (error) {
      this.#complaints.say(name, messageOf(error));
      // Of the news behind the one that failed, nothing is known.
      this.#machines.get(name)?.ask();
    }
  }

  #machine(name: string): Machine {
    const known = this.#machines.get(name);
    if (known !== undefined) return known;
    const { bus, ids } = this.#parts;
    const machine: Machine = new Machine(name, this.#leader, {
      send: (incarnation, message, nobody) => {
        bus.send(commandsTo(name, incarnation), { ...this.#self, ...message }, nobody);
      },
      idsOf: (gpus) => ids.remember(name, gpus),
      facts: (facts) => this.#tell(machine, facts),
      state: (state, isNew) => this.#onState(machine, state, isNew),
      gone: (why) => this.#onGone(machine, why),
      news: (news) => this.#onNews(machine, news),
    });
    this.#machines.set(name, machine);
    return machine;
  }

  #onNews(machine: Machine, news: RunNews): void {
    this.#early?.hear(machine, news);
    switch (news.type) {
      case "delta":
      case "watched":
      case "progress":
        return this.#runs.hear(machine, news);
      case "ended":
        if (this.#early === null) this.#runs.ended(machine, news);
        return;
      case "answer":
        return this.#questions.answered(machine, news.question, news.tokens);
      case "wanted":
        return this.#events.wanted(news.instances.map((ref) => clusterRef(machine, ref)));
      case "lost": {
        const ref = clusterRef(machine, news.instance);
        this.#runs.lost(machine, ref, news.keys);
        this.#events.lost(ref, news.reason, news.sentence);
      }
    }
  }

  #onState(machine: Machine, state: AgentState, isNew: boolean): void {
    if (isNew) tellDrains(machine, state, this.#parts.ids);
    this.#questions.reconcile(machine, state);
    if (isNew) this.#parts.log.info({ machine: machine.name, gpus: state.gpus.length }, "a machine has joined");
    if (this.#early === null) this.#runs.reconcile(machine, state);
    else this.#early.set(machine, state);
    this.#joined?.();
  }

  #onGone(machine: Machine, why: string): void {
    this.#parts.log.error({ machine: machine.name }, why);
    this.#early?.delete(machine);
    // First of all, so that nothing is placed there any more.
    for (const facts of machine.facts.values()) this.#tell(machine, facts);
    this.#runs.gone(machine, why);
    this.#questions.drop(machine);
  }

  #tell(machine: Machine, facts: GpuFacts): void {
    this.#homes.set(facts.id, machine); // Tasks that wait are placed there within the next call.
    this.#events.changed(withDrain(facts, { gone: machine.whyGone, drain: this.#parts.ids.drainOf(facts.id) }));
  }

  #tellAgain(gpuId: number): void {
    const machine = this.#home(gpuId);
    const facts = machine.facts.get(gpuId);
    if (facts !== undefined) this.#tell(machine, facts);
  }

  // --- signs of life ---------------------------------------------------------------------------------------------

  #tick(): void {
    if (!this.#parts.bus.isUp) return;
    this.#complaints.tick();
    this.#leadership.tick();
    this.#beat();
    for (const machine of this.#machines.values()) machine.tick();
  }

  #beat(): void {
    this.#parts.bus.send(BEATS, { version: SPOKEN[0], ...this.#self, speaks: SPOKEN, at: wallTime() });
  }

  get #self() {
    return { epoch: this.#leadership.epoch, leader: this.#leader, cluster: this.#parts.ids.cluster };
  }

  #onUp(): void {
    this.#parts.log.info("connected to NATS again");
    for (const machine of this.#machines.values()) machine.forgive();
    this.#beat();
  }

  // --- helpers ---------------------------------------------------------------------------------------------------

  get #present(): readonly Machine[] {
    return [...this.#machines.values()].filter(({ whyGone }) => whyGone === null);
  }

  #home(gpuId: number): Machine {
    const machine = this.#homes.get(gpuId);
    if (machine === undefined) throw new Error(`no machine has GPU ${gpuId}`);
    return machine;
  }

  /** @throws {AltLasError} `not_found` */
  #known(gpuId: number): Machine {
    if (!this.#homes.has(gpuId)) throw noGpu(gpuId, this.gpuIds);
    return this.#home(gpuId);
  }

  #give({ gpuId, id }: InstanceRef, commandOf: (local: InstanceRef) => Command): void {
    const machine = this.#home(gpuId);
    machine.give(commandOf({ gpuId: machine.localId(gpuId), id }));
  }
}
