/**
 * The messages between the server that leads and the agents on the machines.
 *
 *  1. Every message of an agent has the next number. A gap makes the leader ask for the whole state, which repairs all that was lost.
 *  2. Every command has the next number. An agent obeys them in this order, each once, and says up to which; the others are sent again.
 *  3. A run has the key `task:attempt:epoch`, the epoch in base 36. A server that dies may not remember that it gave an attempt to an agent, so
 *     the next one gives that attempt another key. An agent keeps the end of a run until the leader has forgotten it, which is when it is on disk.
 *  4. A command of a lower epoch than an agent has seen is refused: another server has led since.
 *  5. The output of a run is told while its leader watches it; that of the others stays with the agent until they end. Before version 3 all is
 *     told. `watch` is answered with the output so far, which `delta` goes on with.
 *  6. A server that stands by and has a reader says to the agent what it reads, and how much of it it has, again with each sign of life. So a run
 *     is told while somebody reads it, and what is lost on the way is told again.
 *
 * Ids of GPUs are those of the machine in messages; `GpuIds` makes those of the cluster of them.
 */
import type { GpuFacts, InstanceFacts, InstanceRef } from "../gpu/facts.ts";
import type { ModelStatus } from "../gpu/models.ts";
import type { LossReason } from "../gpu/instance/lifecycle.ts";
import type { GpuStatus, Readiness } from "../gpu/status.ts";
import type { Need, Request, TextRequest } from "../request.ts";
import type { Delta } from "../output.ts";
import type { Outcome } from "../task.ts";
import type { TaskUse } from "../task-use.ts";

/** Of these messages. */
export const PROTOCOL = 3;
/** A server also speaks the versions before, to agents that are yet to be upgraded. The first one names no cluster. */
export const SPOKEN: readonly number[] = [1, 2, PROTOCOL];
/** So does an agent, to servers that are. */
export const AGENT_SPEAKS: readonly number[] = [2, PROTOCOL];
/** The version from which on output is told only while it is watched. */
export const WATCHES = 3;

/** Milliseconds between two signs of life, of the leader and of each agent. */
export const BEAT_MS = 500;
/** So many missed signs of life, and a machine is gone: it was silent for 3 seconds. */
export const MOST_MISSED = 6;

/** The leader tells all that it leads. */
export const BEATS = "alt-las.beat";
/** A server that starts asks who leads, which a leader answers to all. */
export const LEADERS = "alt-las.leaders";
/** Where an agent gets its commands. @param incarnation so that nobody listens there once its process has ended */
export function commandsTo(machine: string, incarnation: string): string {
  return `alt-las.agent.${machine}.${incarnation}`;
}
/** Where an agent tells its news: a machine's name, or `*`. */
export function newsOf(machine: string): string {
  return `alt-las.news.${machine}`;
}

/** Where an agent hears which runs servers that stand by read: none of its incarnations has this name. */
export function readersTo(machine: string): string {
  return commandsTo(machine, "readers");
}
/** Where an agent tells one of them the output. @param reader its name, or `*` */
export function textTo(machine: string, reader: string): string {
  return `alt-las.text.${machine}.${reader}`;
}

/** A machine with a token asks there to be let in, and is answered. Behind both stands the token's id. */
export const JOINS = "alt-las.join.";
export const JOINED = "alt-las.joined.";
export interface JoinRequest {
  readonly machine: string;
  /** Its public key. */
  readonly key: string;
}
export interface JoinAnswer {
  /** Its permissions, signed. */
  readonly jwt?: string;
  /** Why it may not join. */
  readonly refused?: string;
}

/** To what the agent of a machine may publish, and what it may hear, where the NATS server asks for credentials. */
export function agentMaySay(machine: string): readonly string[] {
  return [newsOf(machine), textTo(machine, "*")];
}
export function agentMayHear(machine: string): readonly string[] {
  return [BEATS, commandsTo(machine, "*")];
}
/** Servers may say and hear all of it. */
export const SERVERS_MAY: readonly string[] = ["alt-las.>", "_INBOX.>"];

/** A name of a machine is a part of a subject. */
export const MACHINE_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;

/** Names a server that leads, or has led. */
export interface Leader {
  readonly version: number;
  readonly epoch: number;
  /** Another one at each start. */
  readonly leader: string;
  /** The id of its cluster; absent: it speaks the first version of these messages. */
  readonly cluster?: string;
}

/** Told to all. Its `version` is the oldest that the server speaks, which all agents can read. */
export interface Beat extends Leader {
  /** The versions in which it commands agents. */
  readonly speaks?: readonly number[];
  /** Its wall clock, in Unix milliseconds. */
  readonly at?: number;
}

/** The facts of a task that its run needs. */
export interface WireRun {
  readonly key: string;
  readonly instance: InstanceRef;
  readonly user: string;
  readonly model: string | null;
  readonly request: Request;
  /** Whether its output is told from the beginning. */
  readonly watched: boolean;
}

export type Command =
  | { readonly type: "run"; readonly run: WireRun }
  | { readonly type: "cancel"; readonly key: string }
  /** Its output is to be told from now on; first what there is behind a position, by `watched`. */
  | { readonly type: "watch"; readonly key: string; readonly from: number }
  | { readonly type: "unwatch"; readonly key: string }
  /** These ends are on disk, or nobody wants them. */
  | { readonly type: "forget"; readonly keys: readonly string[] }
  /** The ids that its GPUs have in the cluster: it tells the next leader, whose data directory may be another one. */
  | { readonly type: "ids"; readonly ids: readonly { readonly id: number; readonly gpuId: number }[] }
  | { readonly type: "load"; readonly instance: InstanceRef }
  | { readonly type: "unload"; readonly instance: InstanceRef; readonly why: string }
  | { readonly type: "drain"; readonly gpuId: number; readonly by: string; readonly deadlineSeconds: number | null }
  | { readonly type: "resume"; readonly gpuId: number; readonly by: string }
  /** Answered by `answer`. */
  | { readonly type: "prepare"; readonly question: number; readonly instances: readonly InstanceRef[] }
  | {
      readonly type: "count";
      readonly question: number;
      readonly request: TextRequest;
      readonly model: string | null;
    };

export interface ToAgent extends Leader {
  /** Commands are numbered from 1 within a session. A higher one begins whenever the machine was away. */
  readonly session: number;
  /** Number of the first command. */
  readonly first: number;
  readonly commands: readonly Command[];
  /** Whether the leader wants the whole state. */
  readonly ask: boolean;
  /** Why the agent has to end; absent: it may go on. */
  readonly refused?: string;
}

/** A set is no JSON. */
export interface WireFacts extends Omit<GpuFacts, "instances"> {
  readonly instances: readonly (Omit<InstanceFacts, "can"> & { readonly can: readonly Need[] | null })[];
}

export interface WireEnd {
  readonly key: string;
  /** Where it ran. */
  readonly instance: InstanceRef;
  readonly outcome: Outcome;
  readonly use: TaskUse | null;
}

/** How the GPUs of a machine look. */
export interface Look {
  readonly gpus: readonly GpuStatus[];
  readonly models: readonly ModelStatus[];
  readonly readiness: Readiness;
  /** Its machine's wall clock, in Unix milliseconds. */
  readonly at?: number;
}

export type News =
  | { readonly type: "facts"; readonly facts: WireFacts }
  /** `keys`: the runs that are cut off. */
  | {
      readonly type: "lost";
      readonly instance: InstanceRef;
      readonly reason: LossReason;
      readonly sentence: string | null;
      readonly keys: readonly string[];
    }
  | { readonly type: "wanted"; readonly instances: readonly InstanceRef[] }
  | { readonly type: "delta"; readonly key: string; readonly delta: Delta; readonly before: number }
  /** The output of a run behind the position `from`, at the moment from which it is watched. */
  | { readonly type: "watched"; readonly key: string; readonly from: number; readonly output: readonly Delta[] }
  /** The costs of runs so far: every 2 seconds, and when one that nobody watches has its first output. */
  | { readonly type: "progress"; readonly uses: readonly { readonly key: string; readonly use: TaskUse }[] }
  | ({ readonly type: "ended" } & WireEnd)
  | { readonly type: "look"; readonly look: Look }
  /** `tokens`: see `countTokens`; null also where nothing was to be counted. */
  | { readonly type: "answer"; readonly question: number; readonly tokens: number | null };

export interface AgentGpu {
  /** On its machine. */
  readonly id: number;
  /** Names the card over restarts: see `Device.key`. */
  readonly key: string;
  /** In the cluster, as an earlier leader has said; absent: none has. */
  readonly gpuId?: number | undefined;
  /** The user that drained it, as a leader has said; absent: it is in service. */
  readonly drainedBy?: string | undefined;
}

export interface StateOfRun {
  readonly key: string;
  readonly instance: InstanceRef;
  /** All of it, or none where it is not watched. */
  readonly output: readonly Delta[];
  /** Absent: before version 3, when all were. */
  readonly watched?: boolean;
}

export interface AgentState {
  readonly gpus: readonly AgentGpu[];
  readonly facts: readonly WireFacts[];
  readonly runs: readonly StateOfRun[];
  readonly ends: readonly WireEnd[];
  /** It tells servers that stand by what they read; absent: it does not, or may not. */
  readonly tells?: true;
  /** Those that it is yet to answer; absent: it does not say. */
  readonly questions?: readonly number[];
  readonly look: Look;
}

/** One without news and state is a sign of life. */
export interface FromAgent {
  readonly version: number;
  /** Another one at each start of the agent. */
  readonly incarnation: string;
  readonly number: number;
  /** The highest epoch that it has seen; 0: none. */
  readonly epoch: number;
  /** The id of the cluster that it serves, until its process ends; null: none yet. Absent: it speaks the first version of these messages. */
  readonly cluster?: string | null;
  /** Of whom it has obeyed the commands of a session up to `heard`; null: of nobody. */
  readonly leader: string | null;
  readonly session: number;
  readonly heard: number;
  readonly news: readonly News[];
  readonly state?: AgentState;
  /** It ends, and its machine has no agent then. */
  readonly leaves?: true;
}

/** The runs of a machine that a server reads that stands by: all of them, again with each sign of life. */
export interface FromReader {
  readonly version: number;
  /** The id of its cluster. */
  readonly cluster: string;
  /** Another one at each start. */
  readonly reader: string;
  /** `from`: how much of its output it has. */
  readonly runs: readonly { readonly key: string; readonly from: number }[];
}

/** The output of runs behind positions. With each sign of life of a reader, all that it reads and that go on, also where nothing is new. */
export interface ToReader {
  readonly version: number;
  readonly runs: readonly { readonly key: string; readonly from: number; readonly output: readonly Delta[] }[];
}

export function toWire({ instances, ...card }: GpuFacts): WireFacts {
  return { ...card, instances: instances.map((one) => ({ ...one, can: one.can && [...one.can] })) };
}

/** @param idOf the id in the cluster of a GPU of the machine */
export function fromWire({ instances, ...card }: WireFacts, idOf: (id: number) => number): GpuFacts {
  const { memory } = card;
  const shared = memory?.sharedBy === undefined ? memory : { ...memory, sharedBy: memory.sharedBy.map(idOf) };
  return {
    ...card,
    id: idOf(card.id),
    memory: shared,
    instances: instances.map((one) => ({ ...one, can: one.can && new Set(one.can) })),
  };
}
