/** A machine as the leader sees it: whether its agent lives, what it says in order, and the commands for it. */
import type { GpuFacts } from "../gpu/facts.ts";
import { CommandLink } from "./command-link.ts";
import {
  type AgentGpu,
  type AgentState,
  type Command,
  type FromAgent,
  fromWire,
  type Look,
  MOST_MISSED,
  type News,
  type ToAgent,
} from "./messages.ts";

/** What is not about the GPUs themselves. */
export type RunNews = Exclude<News, { type: "facts" | "look" }>;

export interface MachineEvents {
  /** @param nobody called when its agent has no connection */
  send(incarnation: string, message: Omit<ToAgent, "version" | "epoch" | "leader">, nobody?: () => void): void;
  /** The ids in the cluster of cards of this machine, by their keys. */
  idsOf(gpus: readonly AgentGpu[]): ReadonlyMap<string, number>;
  news(news: RunNews): void;
  facts(facts: GpuFacts): void;
  /** Its whole state, when it comes and after something was lost. @param isNew it was not there, or another agent was */
  state(state: AgentState, isNew: boolean): void;
  /** Nothing runs there any more that was given to it, as far as anybody can tell. @param why one sentence */
  gone(why: string): void;
}

/** So many of its pings found nobody, and its connection is closed. A single one may hit the moment in which it connects to another broker. */
const MOST_UNHEARD = 2;
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
  #look: Look | null = null;
  /** null: it is there; one sentence. */
  #gone: string | null = "It has not joined yet.";
  /** Number of its last message. */
  #received = 0;
  #missed = 0;
  #unheard = 0;
  #asks = false;
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
    return this.#look;
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

  /** Whether its agent may yet come to obey the command to run this. */
  isOnItsWay(key: string): boolean {
    return this.#link.has((command) => command.type === "run" && command.run.key === key);
  }

  idOf(local: number): number {
    const id = this.#ids.get(local);
    if (id === undefined) throw new Error(`machine ${this.name} has told nothing of its GPU ${local}`);
    return id;
  }

  /** A sign of life is due, on both sides. */
  tick(): void {
    if (this.#twin.ticks > 0) this.#twin.ticks++;
    if (this.#gone !== null) return;
    this.#asks = false;
    this.#link.tick();
    this.#send(1, []);
    if (++this.#missed >= MOST_MISSED) this.lose(`Machine ${this.name} has given no sign of life for 3 s.`);
  }

  /** The leader's own connection was closed: what it did not hear meanwhile says nothing. */
  forgive(): void {
    this.#missed = 0;
    this.#unheard = 0;
  }

  lose(why: string): void {
    if (this.#gone !== null) return;
    this.#gone = why;
    this.#link.begin();
    this.#events.gone(why);
  }

  receive(message: FromAgent): void {
    if (!this.#isItself(message)) return;
    if (message.number <= this.#received) return;
    const isGap = message.number !== this.#received + 1;
    this.#received = message.number;
    this.forgive();
    if (message.leader === this.#leader && message.session === this.#link.session) this.#link.obeyed(message.heard);
    if (message.state !== undefined) this.#take(message.state);
    else if (isGap || this.#gone !== null) this.ask();
    if (this.#gone === null) for (const news of message.news) this.#onNews(news);
    if (message.leaves === true) this.lose(`The agent of machine ${this.name} was stopped.`);
  }

  /** An agent that comes under the name of one that lives waits until that is gone, and is sent away when it is not. */
  #isItself({ incarnation, number, state }: FromAgent): boolean {
    if (incarnation === this.#incarnation) return true;
    if (this.#gone !== null) {
      this.#incarnation = incarnation;
      this.#received = state === undefined ? number : number - 1;
      this.facts.clear();
      return true;
    }
    if (this.#twin.incarnation !== incarnation) this.#twin = { incarnation, ticks: 1 };
    if (this.#twin.ticks > PATIENCE) {
      const refused = `Another agent is machine ${this.name} of this cluster. Give this one another name: --name NAME.`;
      this.#events.send(incarnation, { session: 0, first: 1, commands: [], ask: false, refused });
    }
    return false;
  }

  #take(state: AgentState): void {
    const isNew = this.#gone !== null;
    this.#gone = null;
    this.#asks = false;
    const ids = this.#events.idsOf(state.gpus);
    this.#ids.clear();
    for (const { id, key } of state.gpus) this.#ids.set(id, ids.get(key)!);
    if (isNew) this.give({ type: "ids", ids: Array.from(this.#ids, ([id, gpuId]) => ({ id, gpuId })) });
    this.#look = state.look;
    for (const facts of state.facts) this.#tell(facts);
    this.#events.state(state, isNew);
  }

  #onNews(news: News): void {
    if (news.type === "facts") this.#tell(news.facts);
    else if (news.type === "look") this.#look = news.look;
    else this.#events.news(news);
  }

  #tell(wire: Parameters<typeof fromWire>[0]): void {
    const facts = fromWire(wire, (id) => this.idOf(id));
    this.facts.set(facts.id, facts);
    this.#events.facts(facts);
  }

  /** It is to tell its whole state; once between two signs of life. */
  ask(): void {
    if (this.#asks) return;
    this.#asks = true;
    this.#send(1, []);
  }

  #send(first: number, commands: readonly Command[]): void {
    const message = { session: this.#link.session, first, commands, ask: this.#asks };
    this.#events.send(this.#incarnation, message, () => this.#onNobody());
  }

  #onNobody(): void {
    if (this.#gone === null && ++this.#unheard >= MOST_UNHEARD)
      this.lose(`The agent of machine ${this.name} has closed its connection.`);
  }
}
