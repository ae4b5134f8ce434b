/** Reads the output of runs from the agents that have them, for a server that stands by. */
import { randomUUID } from "node:crypto";
import { steadyTime } from "../common/clock.ts";
import type { Elsewhere } from "../gpu/any-pool.ts";
import { after, type Delta, lengthOf, Output } from "../output.ts";
import type { Bus } from "./bus.ts";
import { isToReader } from "./from-agent.ts";
import { BEAT_MS, type FromReader, PROTOCOL, readersTo, textTo, type ToReader } from "./messages.ts";

export interface TextListener {
  /** There is something to read, or more than what `delta` has told. */
  caughtUp(): void;
  /** @param before the position where it begins in the output */
  delta(delta: Delta, before: number): void;
  /** Its agent says nothing of it: it has ended, or it cannot be read from here. Nothing follows. */
  failed(): void;
}

export interface Reading {
  /** As far as it has come; it is live. */
  readonly output: Output;
  /** Whether that is at least as much as any earlier reader can have had, at any server. */
  readonly isThere: boolean;
  stop(): void;
}

interface Reader {
  readonly listener: TextListener;
  isThere: boolean;
}

interface Run {
  readonly output: Output;
  /** Whether its agent has said something of it. */
  isKnown: boolean;
  /** Signs of life of this server since its agent has last said something of it. */
  missed: number;
  readonly readers: Set<Reader>;
}

interface Machine {
  /** Whether its agent has said anything since it is asked. */
  isHeard: boolean;
  /** By their keys. */
  readonly runs: Map<string, Run>;
  readonly end: () => void;
}

export interface TextReaderParts {
  readonly bus: Bus;
  /** The id of the cluster. */
  readonly cluster: string;
  /** Milliseconds between two signs of life; for tests. */
  readonly beat?: number;
}

/** Signs of life that an agent may leave without an answer. */
const MOST_SILENT = 3;
/** The same without a connection to NATS, whose client makes another one meanwhile. */
const MOST_DOWN = 20;
/** Milliseconds for which an agent that has never answered is not asked again: messages may be forbidden here, or there. */
const DEAF = 60_000;

export class TextReader {
  readonly #parts: TextReaderParts;
  readonly #self = randomUUID();
  /** By their names. */
  readonly #machines = new Map<string, Machine>();
  /** Machines that are told with this turn of the event loop what is read there. */
  readonly #news = new Set<string>();
  /** Machines that have not answered, and since when. */
  readonly #deaf = new Map<string, number>();
  /** Signs of life that could not be given, as there was no connection. */
  #down = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: TextReaderParts) {
    this.#parts = parts;
  }

  get isUp(): boolean {
    return this.#parts.bus.isUp;
  }

  /** Whether a machine may answer, as far as is known. */
  hears(machine: string): boolean {
    const since = this.#deaf.get(machine);
    return this.isUp && (since === undefined || steadyTime() - since > DEAF);
  }

  /** Lets a listener hear what a run emits. All that read it share one copy of its output, which may be behind what another server has read. */
  read({ machine: name, key }: Elsewhere, listener: TextListener): Reading {
    const machine = this.#machines.get(name) ?? this.#begin(name);
    const known = machine.runs.get(key);
    const run = known ?? { output: new Output(), isKnown: false, missed: 0, readers: new Set() };
    const reader = { listener, isThere: false };
    run.readers.add(reader);
    if (known === undefined) machine.runs.set(key, run);
    this.#say(name);
    return {
      output: run.output,
      get isThere() {
        return reader.isThere;
      },
      stop: () => {
        if (run.readers.delete(reader) && run.readers.size === 0) this.#drop(name, machine, key, run);
      },
    };
  }

  close(): void {
    for (const [name, { runs }] of this.#machines) {
      runs.clear();
      this.#tell(name);
    }
    this.#rest();
  }

  #begin(name: string): Machine {
    const runs: Machine["runs"] = new Map();
    const end = this.#parts.bus.listen(textTo(name, this.#self), (message) => this.#hear(name, machine, message));
    const machine: Machine = { runs, isHeard: false, end };
    this.#machines.set(name, machine);
    this.#timer ??= setInterval(() => this.#tick(), this.#parts.beat ?? BEAT_MS);
    return machine;
  }

  #hear(name: string, machine: Machine, message: object): void {
    if (!isToReader(message)) return;
    this.#deaf.delete(name);
    machine.isHeard = true;
    for (const news of message.runs) {
      const run = machine.runs.get(news.key);
      if (run === undefined) continue;
      run.missed = 0;
      take(run, news);
    }
  }

  #tick(): void {
    this.#down = this.isUp ? 0 : this.#down + 1;
    // No agent can have answered.
    if (this.#down > 0 && this.#down <= MOST_DOWN) return;
    for (const [name, machine] of this.#machines) {
      for (const [key, run] of machine.runs) {
        if (++run.missed <= MOST_SILENT) continue;
        if (!machine.isHeard && this.isUp) this.#deaf.set(name, steadyTime());
        this.#drop(name, machine, key, run);
        for (const { listener } of run.readers) listener.failed();
      }
      this.#say(name);
    }
  }

  #drop(name: string, machine: Machine, key: string, run: Run): void {
    if (machine.runs.get(key) !== run) return;
    machine.runs.delete(key);
    this.#say(name);
  }

  #say(name: string): void {
    if (this.#news.size === 0) setImmediate(() => this.#sayAll());
    this.#news.add(name);
  }

  #sayAll(): void {
    const names = [...this.#news];
    this.#news.clear();
    for (const name of names) this.#tell(name);
    if (this.#machines.size === 0) this.#rest();
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #tell(name: string): void {
    const machine = this.#machines.get(name);
    if (machine === undefined) return;
    const runs = Array.from(machine.runs, ([key, { output }]) => ({ key, from: output.length }));
    const { bus, cluster } = this.#parts;
    bus.send(readersTo(name), { version: PROTOCOL, cluster, reader: this.#self, runs } satisfies FromReader);
    if (runs.length > 0) return;
    machine.end();
    this.#machines.delete(name);
  }
}

/**
 * Output that comes twice is passed over. Where something before it is missing, the agent tells it again after the next sign of life. News
 * without output is the answer to such a sign: then nothing is on its way that a reader may have read elsewhere.
 */
function take(run: Run, { from, output: news }: ToReader["runs"][number]): void {
  const { output } = run;
  if (from > output.length) return;
  const isWhole = !run.isKnown || (news.length === 0 && from === output.length);
  run.isKnown = true;
  for (const delta of after(news, output.length - from)) {
    const before = output.length;
    output.add(delta);
    if (lengthOf(delta) === 0) continue;
    for (const { listener, isThere } of run.readers) if (isThere) listener.delta(delta, before);
  }
  if (!isWhole) return;
  for (const reader of run.readers) {
    if (reader.isThere) continue;
    reader.isThere = true;
    reader.listener.caughtUp();
  }
}
