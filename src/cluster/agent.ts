/** The agent of a machine: gives its GPUs to the server that leads. It obeys that one's commands, and tells it what becomes of them. */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { wallTime } from "../common/clock.ts";
import { messageOf } from "../errors.ts";
import type { InstanceRef } from "../gpu/facts.ts";
import type { LossReason } from "../gpu/instance/lifecycle.ts";
import type { AnyPool } from "../gpu/any-pool.ts";
import type { PoolEvents } from "../gpu/pool.ts";
import { AgentReaders } from "./agent-readers.ts";
import { AgentRuns } from "./agent-runs.ts";
import type { Bus } from "./bus.ts";
import {
  AGENT_SPEAKS,
  type AgentGpu,
  type AgentState,
  BEAT_MS,
  type Beat,
  BEATS,
  type Command,
  commandsTo,
  type FromAgent,
  type FromReader,
  type Leader,
  type Look,
  type News,
  newsOf,
  readersTo,
  type ToAgent,
  toWire,
  WATCHES,
  type WireFacts,
} from "./messages.ts";
import { Strangers } from "./strangers.ts";
import { commonVersion, isBeat } from "./versions.ts";

export interface AgentParts {
  readonly machine: string;
  readonly bus: Bus;
  readonly gpus: readonly AgentGpu[];
  readonly log: Logger;
  /** Makes the GPUs, with workers that are not started yet. */
  openPool(events: PoolEvents): AnyPool;
  /** A server does not want this agent: it has to end. @param why one sentence */
  refused(why: string): void;
  /** Milliseconds between two signs of life; for tests. */
  readonly beat?: number | undefined;
  /** Whether it may tell servers that stand by what they read: credentials of an earlier version do not let it. */
  readonly tells: boolean;
}

/** Ticks between two looks at the GPUs. */
const LOOK_TICKS = 4;

export class Agent {
  readonly pool: AnyPool;
  readonly #parts: AgentParts;
  readonly #incarnation = randomUUID();
  readonly #runs: AgentRuns;
  readonly #readers: AgentReaders;
  readonly #facts = new Map<number, WireFacts>();
  /** By the ids of its GPUs here. */
  readonly #gpuIds = new Map<number, number>();
  /** By the ids of its GPUs here: who drained them. */
  readonly #drains = new Map<number, string>();
  /** Those that are yet to be answered. */
  readonly #questions = new Set<number>();
  readonly #ends: (() => void)[] = [];
  readonly #strangers: Strangers;
  #news: News[] = [];
  #number = 0;
  #epoch = 0;
  #leader: string | null = null;
  #session = 0;
  /** Number of the last command that was obeyed. */
  #heard = 0;
  #ticks = 0;
  /** It finishes what runs, and ends then. */
  #isStopping = false;
  /** The id of the cluster that it serves: that of the first server that it has obeyed. */
  #cluster: string | null = null;
  /** Of the messages, as the server that it obeys speaks them; null: it has heard none, and says nothing. */
  #version: number | null = null;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#strangers = new Strangers(parts.log);
    this.#runs = new AgentRuns({
      tell: (news) => this.#tell(news),
      isWatching: () => (this.#version ?? 0) >= WATCHES,
      delta: (key, delta, before) => this.#readers.delta(key, delta, before),
    });
    this.#readers = new AgentReaders({
      machine: parts.machine,
      outputOf: (key) => this.#runs.outputOf(key),
      send: (subject, message) => parts.bus.send(subject, message),
    });
    this.pool = parts.openPool({
      changed: (facts) => {
        const wire = toWire(facts);
        this.#facts.set(facts.id, wire);
        this.#tell({ type: "facts", facts: wire });
      },
      lost: (instance, reason, sentence) => this.#onLost(instance, reason, sentence),
      wanted: (instances) => this.#tell({ type: "wanted", instances }),
    });
  }

  /** Listens from now on, and says that it is there when it hears a server. The workers are started by then, or will be. */
  start(): void {
    const { bus, machine, tells, beat = BEAT_MS } = this.#parts;
    if (tells)
      this.#ends.push(
        bus.listen(readersTo(machine), (message) => this.#readers.hear(message as FromReader, this.#cluster)),
      );
    this.#ends.push(
      bus.listen(BEATS, (message) => this.#hearBeat(message as Beat)),
      bus.listen(commandsTo(machine, this.#incarnation), (message) => this.#obey(message as ToAgent)),
    );
    const timer = setInterval(() => this.#tick(), beat);
    this.#ends.push(() => clearInterval(timer));
  }

  /** Tasks that run here. */
  get running(): number {
    return this.#runs.size;
  }

  /** Whether the leader knows all that has ended here, and has it on disk. */
  get isDone(): boolean {
    return this.#runs.size === 0 && this.#runs.ends.length === 0;
  }

  /** After something was lost on the way. */
  sayState(): void {
    this.#flush();
    this.#send({ news: [], state: this.#state() });
  }

  /** Takes no new tasks; those that run go on. */
  drain(): void {
    this.#isStopping = true;
    for (const { id } of this.#parts.gpus)
      this.pool.drain(id, { deadlineSeconds: null, by: `the stop of machine ${this.#parts.machine}` });
  }

  /** Says good-bye, and ends the workers. */
  async stop(): Promise<void> {
    this.#flush();
    this.#send({ news: [], leaves: true });
    for (const end of this.#ends.splice(0)) end();
    await this.pool.stop();
  }

  // --- what the leader says --------------------------------------------------------------------------------------

  #hearBeat(beat: Beat): void {
    const version = commonVersion(beat.speaks);
    if (version === null) return this.#strangers.onVersion(beat);
    if (this.#follows(beat, version)) this.#strangers.onBeat(beat.at);
  }

  /**
   * @param version in which it is spoken to from now on
   * @returns whether a server may command: it is of this cluster, and not one that another has followed
   */
  #follows(said: Leader, version = this.#version): boolean {
    const { epoch, leader, cluster } = said;
    if (cluster === undefined || !isBeat(said)) return false;
    if (this.#cluster !== null && cluster !== this.#cluster) {
      this.#strangers.onCluster(cluster, this.#cluster);
      return false;
    }
    if (epoch < this.#epoch) return false;
    this.#cluster = cluster;
    const isKnown = epoch === this.#epoch && leader === this.#leader;
    if (isKnown && version === this.#version) return true;
    if (!isKnown) this.#parts.log.info({ epoch }, "a server leads");
    this.#epoch = epoch;
    this.#version = version;
    // One that leads on has given the commands before, too.
    if (leader !== this.#leader) {
      this.#leader = leader;
      this.#session = 0;
      this.#heard = 0;
    }
    this.sayState();
    return true;
  }

  #obey(message: ToAgent): void {
    if (!AGENT_SPEAKS.includes(message.version)) return this.#strangers.onVersion({ speaks: [message.version] });
    const { cluster, refused } = message;
    if (refused !== undefined && (this.#cluster === null || cluster === this.#cluster))
      return this.#parts.refused(refused);
    // Its next sign of life tells the sender of the higher epoch.
    if (!this.#follows(message)) return;
    const { session, first, commands, ask } = message;
    if (session < this.#session) return;
    if (session > this.#session) {
      this.#session = session;
      this.#heard = 0;
    }
    for (const [index, command] of commands.entries()) {
      if (first + index !== this.#heard + 1) continue;
      this.#heard++;
      this.#do(command);
    }
    if (ask) this.sayState();
  }

  #do(command: Command): void {
    try {
      this.#carryOut(command);
    } catch (error) {
      // A leader of another version, or one whose message was damaged: the agent serves on.
      this.#parts.log.error(
        { err: error, command: command.type },
        `a command could not be obeyed: ${messageOf(error)}`,
      );
    }
  }

  #carryOut(command: Command): void {
    switch (command.type) {
      case "run":
        return this.#runs.run(this.pool, command.run, this.#takes(command.run.instance));
      case "cancel":
        return this.#runs.cancel(this.pool, command.key);
      case "watch":
        return this.#runs.watch(command.key, command.from);
      case "unwatch":
        return this.#runs.unwatch(command.key);
      case "forget":
        return this.#runs.forget(command.keys);
      case "ids":
        for (const { id, gpuId } of command.ids) this.#gpuIds.set(id, gpuId);
        return;
      case "load":
        return this.pool.load(command.instance);
      case "unload":
        return this.pool.unload(command.instance, command.why);
      case "drain":
        this.#drains.set(command.gpuId, command.by);
        return this.pool.drain(command.gpuId, command);
      case "resume":
        this.#drains.delete(command.gpuId);
        return this.#isStopping ? undefined : this.pool.resume(command.gpuId, command.by);
      case "prepare":
        return void this.#answer(command.question, async () => {
          await this.pool.prepare(command.instances);
          return null;
        });
      case "count":
        return void this.#answer(command.question, () => this.pool.countTokens(command.request, command.model));
    }
  }

  async #answer(question: number, find: () => Promise<number | null>): Promise<void> {
    this.#questions.add(question);
    const tokens = await find().catch(() => null);
    this.#questions.delete(question);
    this.#tell({ type: "answer", question, tokens });
  }

  /** Its worker may have died since the leader has last heard of it. */
  #takes({ gpuId, id }: InstanceRef): boolean {
    const state = this.#facts.get(gpuId)?.instances.find((one) => one.id === id)?.state;
    return state === "ready" || state === "hot";
  }

  // --- what the leader is told -----------------------------------------------------------------------------------

  #onLost(instance: InstanceRef, reason: LossReason, sentence: string | null): void {
    const keys = this.#runs.takeFrom(instance);
    this.#tell({ type: "lost", instance, reason, sentence, keys });
  }

  #tell(news: News): void {
    if (this.#news.length === 0) setImmediate(() => this.#flush());
    this.#news.push(news);
  }

  #flush(): void {
    if (this.#news.length === 0) return;
    const news = this.#news;
    this.#news = [];
    this.#send({ news });
  }

  #tick(): void {
    this.#strangers.tick(this.#parts.bus);
    this.#readers.tick();
    if (++this.#ticks % LOOK_TICKS !== 0) return this.#send({ news: [] });
    this.#tell({ type: "look", look: this.#look() });
    this.#runs.tellProgress();
  }

  #send(message: Pick<FromAgent, "news" | "state" | "leaves">): void {
    const version = this.#version;
    if (version === null) return;
    const about = {
      version,
      incarnation: this.#incarnation,
      number: ++this.#number,
      epoch: this.#epoch,
    };
    const heard = { cluster: this.#cluster, leader: this.#leader, session: this.#session, heard: this.#heard };
    this.#parts.bus.send(newsOf(this.#parts.machine), { ...about, ...heard, ...message } satisfies FromAgent);
  }

  #state(): AgentState {
    const { runs, ends } = this.#runs;
    const gpus = this.#parts.gpus.map((gpu) => {
      return { ...gpu, gpuId: this.#gpuIds.get(gpu.id), drainedBy: this.#drains.get(gpu.id) };
    });
    const [facts, questions] = [[...this.#facts.values()], [...this.#questions]];
    const tells = this.#parts.tells && ({ tells: true } as const);
    return { gpus, facts, runs, ends, questions, look: this.#look(), ...tells };
  }

  #look(): Look {
    const { pool } = this;
    const gpus = pool.list(() => ({ taskCount: 0, load: 0 }));
    return { gpus, models: pool.models(), readiness: pool.readiness(), at: wallTime() };
  }
}
