/** A machine as the leader sees it: whether its agent lives, what it says in order, and the commands for it. */
import { wallTime } from "../common/clock.ts";
import type { GpuFacts, InstanceRef } from "../gpu/facts.ts";
import { CommandLink } from "./command-link.ts";
import type { GpuIds } from "./gpu-ids.ts";
import {
  type AgentGpu,
  type AgentState,
  BEAT_MS,
  type Command,
  type FromAgent,
  fromWire,
  type Leader,
  type Look,
  MOST_MISSED,
  type News,
  PROTOCOL,
  type ToAgent,
} from "./messages.ts";

/** News that is not about the GPUs themselves. */
export type RunNews = Exclude<News, { type: "facts" | "look" }>;

export interface MachineEvents {
  /** @param nobody called when its agent has no connection */
  send(incarnation: string, message: Omit<ToAgent, keyof Omit<Leader, "version">>, nobody?: () => void): void;
  /** The ids in the cluster of cards of this machine, by their keys. */
  idsOf(gpus: readonly AgentGpu[]): ReadonlyMap<string, number>;
  news(news: RunNews): void;
  facts(facts: GpuFacts): void;
  /** Its whole state, when it comes and after something was lost. @param isNew it was not there, or another agent was */
  state(state: AgentState, isNew: boolean): void;
  /** Nothing runs there any more that was given to it, as far as anybody can tell. @param why one sentence */
  gone(why: string): void;
}

/** Ticks in which nobody listened, and its connection is closed. A single one may hit the moment in which it connects to another broker. */
const MOST_UNHEARD = 2;
/** Ticks after which it is asked once more for a state that has not come: a second. */
const ASK_AGAIN = Math.ceil(1000 / BEAT_MS);
/** Ticks for which an agent with the name of one that lives is not answered. */
const PATIENCE = 2 * MOST_MISSED;

export class Machine {
  readonly name: string;
  /** By their ids in the cluster, in this order. */
  readonly facts = new Map<number, GpuFacts>();
  readonly #events: MachineEvents;
  readonly #leader: string;
  readonly #link: CommandLink;
  readonly #ids = new Map<number, number>();
  #incarnation = "";
  /** Of the messages that its agent can read. */
  #version = PROTOCOL;
  /** Its last look, and the milliseconds by which its wall clock was ahead of this one's then; null: it has not said. */
  #seen: { readonly look: Look; readonly clockAhead: number | null } | null = null;
  #tells = false;
  /** null: it is there; one sentence. */
  #gone: string | null = "It has not joined yet.";
  /** Number of its last message. */
  #received = 0;
  #missed = 0;
  /** Ticks in which nobody listened, since it was last heard. */
  #unheard = 0;
  /** Whether nobody listened since the last tick. */
  #isUnheard = false;
  /** Ticks for which it may yet be connecting, as the leader itself was cut off. */
  #grace = 0;
  /** Ticks since its whole state was asked for; null: none is wanted. */
  #asked: number | null = null;
  /** Ticks for which another agent has come under its name. */
  #twin = { incarnation: "", ticks: 0 };

  constructor(name: string, leader: string, events: MachineEvents) {
    this.name = name;
    this.#leader = leader;
    this.#events = events;
    this.#link = new CommandLink((first, commands) => this.#send(first, commands));
  }

  get whyGone(): string | null {
    return this.#gone;
  }

  get look(): Look | null {
    return this.#seen?.look ?? null;
  }

  get version(): number {
    return this.#version;
  }

  /** Whether its agent tells servers that stand by what they read. */
  get tells(): boolean {
    return this.#tells;
  }

  get clockAhead(): number | null {
    return this.#seen?.clockAhead ?? null;
  }

  /** Signs of life that are missing. */
  get missed(): number {
    return this.#missed;
  }

  /** Commands that its agent has not obeyed yet, as far as is known. */
  get unobeyed(): number {
    return this.#link.size;
  }

  /** Dropped while it is gone: its whole state tells what is to be done when it is back. */
  give(command: Command): void {
    if (this.#gone === null) this.#link.give(command);
  }

  /** @throws {Error} it has no such GPU, which is a bug of the caller */
  localId(id: number): number {
    for (const [local, one] of this.#ids) if (one === id) return local;
    throw new Error(`machine ${this.name} has no GPU ${id}`);
  }

  /** Whether its agent may yet come to obey such a command. */
  isOnItsWay(is: (command: Command) => boolean): boolean {
    return this.#link.has(is);
  }

  idOf(local: number): number {
    const id = this.#ids.get(local);
    if (id === undefined) throw new Error(`machine ${this.name} has told nothing of its GPU ${local}`);
    return id;
  }

  /** A sign of life is due, on both sides. */
  tick(): void {
    if (this.#twin.ticks > 0) this.#twin.ticks++;
    // One that is gone is asked again with its next word: what it was asked before may be lost.
    if (this.#gone !== null) return void (this.#asked = null);
    this.#isUnheard = false;
    if (this.#grace > 0) this.#grace--;
    this.#link.tick();
    const asks = this.#asked !== null && ++this.#asked >= ASK_AGAIN;
    if (asks) this.#asked = 0;
    this.#send(1, [], asks);
    if (++this.#missed >= MOST_MISSED) this.lose(`Machine ${this.name} has given no sign of life for 3 s.`);
  }

  /** The leader's own connection was closed: what it did not hear meanwhile says nothing, and the agent may connect later than it. */
  forgive(): void {
    this.#heard();
    this.#grace = MOST_MISSED;
  }

  #heard(): void {
    this.#missed = 0;
    this.#unheard = 0;
    this.#grace = 0;
  }

  lose(why: string): void {
    if (this.#gone !== null) return;
    this.#gone = why;
    this.#asked = null;
    this.#link.begin();
    this.#events.gone(why);
  }

  receive(message: FromAgent): void {
    if (!this.#isItself(message)) return;
    if (message.number <= this.#received) return;
    // It speaks a later one from the moment on when it has heard that this server does.
    this.#version = message.version;
    const isGap = message.number !== this.#received + 1;
    this.#received = message.number;
    this.#heard();
    this.#hearObeyed(message);
    if (message.state !== undefined) this.#take(message.state);
    else if (isGap || this.#gone !== null) this.ask();
    if (this.#gone === null) for (const news of message.news) this.#onNews(news);
    if (message.leaves === true) this.lose(`The agent of machine ${this.name} was stopped.`);
  }

  #hearObeyed({ leader, session, heard }: FromAgent): void {
    if (leader !== this.#leader) return;
    if (session === this.#link.session) this.#link.obeyed(heard);
    // It does not know any more what it was told before, and its runs may be those of the other server.
    else if (this.#link.isObeyed) this.obeysAnother();
  }

  /** Another server leads by now, or has led: it decides what becomes of the runs there. */
  obeysAnother(): void {
    this.lose(`The agent of machine ${this.name} has obeyed another server meanwhile.`);
  }

  /** An agent that comes under the name of one that lives waits until that is gone, and is sent away when it is not. */
  #isItself({ version, incarnation, number, state }: FromAgent): boolean {
    if (incarnation === this.#incarnation) return true;
    if (this.#gone !== null) {
      this.#incarnation = incarnation;
      this.#version = version;
      this.#received = state === undefined ? number : number - 1;
      this.#asked = null;
      this.facts.clear();
      return true;
    }
    if (this.#twin.incarnation !== incarnation) this.#twin = { incarnation, ticks: 1 };
    if (this.#twin.ticks > PATIENCE) {
      const refused = `Another agent is machine ${this.name} of this cluster. Give this one another name: --name NAME.`;
      this.sendAway({ version, incarnation }, refused);
    }
    return false;
  }

  /** An agent under its name has to end. @param refused why, one sentence */
  sendAway({ version, incarnation }: Pick<FromAgent, "version" | "incarnation">, refused: string): void {
    this.#events.send(incarnation, { version, session: 0, first: 1, commands: [], ask: false, refused });
  }

  /** It is no machine of this cluster any more. @param why one sentence */
  lockOut(why: string): void {
    if (this.#gone === null) this.sendAway({ version: this.#version, incarnation: this.#incarnation }, why);
    this.lose(why);
  }

  #take(state: AgentState): void {
    const isNew = this.#gone !== null;
    checkGpus(state);
    // It may throw: then nothing has changed.
    const ids = this.#events.idsOf(state.gpus);
    this.#gone = null;
    this.#asked = null;
    this.#tells = state.tells ?? false;
    this.#ids.clear();
    for (const { id, key } of state.gpus) this.#ids.set(id, ids.get(key)!);
    if (isNew) this.give({ type: "ids", ids: Array.from(this.#ids, ([id, gpuId]) => ({ id, gpuId })) });
    this.#seeLook(state.look);
    for (const facts of state.facts) this.#tell(facts);
    this.#events.state(state, isNew);
  }

  /** @throws {Error} it is about a GPU of which nobody knows */
  #onNews(news: News): void {
    if ("instance" in news) this.idOf(news.instance.gpuId);
    if (news.type === "facts") this.#tell(news.facts);
    else if (news.type === "look") {
      for (const { id } of news.look.gpus) this.idOf(id);
      this.#seeLook(news.look);
    } else this.#events.news(news);
  }

  #seeLook(look: Look): void {
    this.#seen = { look, clockAhead: look.at === undefined ? null : look.at - wallTime() };
  }

  #tell(wire: Parameters<typeof fromWire>[0]): void {
    const facts = fromWire(wire, (id) => this.idOf(id));
    this.facts.set(facts.id, facts);
    this.#events.facts(facts);
  }

  /** It is to tell its whole state: at once, and again until that has come. */
  ask(): void {
    if (this.#asked !== null) return;
    this.#asked = 0;
    this.#send(1, [], true);
  }

  #send(first: number, commands: readonly Command[], ask = false): void {
    const message = { version: this.#version, session: this.#link.session, first, commands, ask };
    this.#events.send(this.#incarnation, message, () => this.#onNobody());
  }

  /** Of all messages between two ticks one counts. */
  #onNobody(): void {
    if (this.#gone !== null || this.#isUnheard || this.#grace > 0) return;
    this.#isUnheard = true;
    if (++this.#unheard >= MOST_UNHEARD) this.lose(`The agent of machine ${this.name} has closed its connection.`);
  }
}

/** An instance of a machine, by the id that its GPU has in the cluster. */
export function clusterRef(machine: Machine, { gpuId, id }: InstanceRef): InstanceRef {
  return { gpuId: machine.idOf(gpuId), id };
}

/** An operator may have drained a GPU while its machine was away, or put it back. */
export function tellDrains(machine: Machine, { gpus }: AgentState, ids: Pick<GpuIds, "drainOf">): void {
  for (const { id, drainedBy } of gpus) {
    const drain = ids.drainOf(machine.idOf(id));
    if (drain !== null) machine.give({ type: "drain", gpuId: id, by: drain.by, deadlineSeconds: null });
    else if (drainedBy !== undefined) machine.give({ type: "resume", gpuId: id, by: drainedBy });
  }
}

/** @throws {Error} a state tells of a GPU that is none of its machine's */
function checkGpus({ gpus, facts, runs, ends, look }: AgentState): void {
  const own = new Set(gpus.map(({ id }) => id));
  const shared = facts.flatMap(({ memory }) => memory?.sharedBy ?? []);
  const named = [...facts, ...look.gpus].map(({ id }) => id);
  const used = [...runs, ...ends].map(({ instance }) => instance.gpuId);
  const strange = [...shared, ...named, ...used].find((id) => !own.has(id));
  if (strange !== undefined) throw new Error(`its state names GPU ${strange}, which is not among its GPUs`);
}
