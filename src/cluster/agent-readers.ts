/** Servers that stand by and read what runs on a machine: each is told the output itself, as long as it says that it reads. */
import { after, type Delta, lengthOf, type Output } from "../output.ts";
import { AGENT_SPEAKS, type FromReader, MOST_MISSED, PROTOCOL, textTo, type ToReader } from "./messages.ts";

export interface AgentReadersParts {
  readonly machine: string;
  /** Of a run that goes on here. */
  outputOf(key: string): Output | undefined;
  send(subject: string, message: ToReader): void;
}

/** How much of a run a reader was told. */
interface Told {
  /** null: the run is not here yet. */
  position: number | null;
  /** The same when it last said what it reads: what it does not have of that by its next word is lost. */
  before: number;
}

interface Reader {
  /** By the keys of the runs. */
  runs: Map<string, Told>;
  /** Output that goes out with this turn of the event loop, by the keys of the runs. */
  news: Map<string, { readonly key: string; readonly from: number; readonly output: Delta[] }>;
  /** Signs of life that are missing. */
  missed: number;
}

/** Servers: a name is made up easily. */
const MOST = 64;
/** A part of a subject. */
const NAME = /^[A-Za-z0-9-]{1,64}$/;

export class AgentReaders {
  readonly #parts: AgentReadersParts;
  /** By their names. */
  readonly #readers = new Map<string, Reader>();
  #flushes = false;

  constructor(parts: AgentReadersParts) {
    this.#parts = parts;
  }

  /** @param cluster that this agent serves */
  hear({ version, cluster, reader: name, runs }: FromReader, own: string | null): void {
    if (!AGENT_SPEAKS.includes(version) || cluster !== own || !NAME.test(name)) return;
    if (runs.length === 0) return void this.#readers.delete(name);
    const reader = this.#readers.get(name) ?? this.#add(name);
    if (reader === null) return;
    // It goes out before what comes now, and with the text that there was then: pieces of an output grow.
    this.#flushTo(name, reader);
    reader.missed = 0;
    const known = reader.runs;
    reader.runs = new Map();
    const answers: ToReader["runs"][number][] = [];
    for (const { key, from } of runs) {
      const output = this.#parts.outputOf(key);
      const told = known.get(key) ?? { position: null, before: 0 };
      reader.runs.set(key, told);
      if (output === undefined) continue;
      const isNew = told.position === null || from < told.before;
      answers.push({ key, from: isNew ? from : told.position!, output: isNew ? after(output.deltas, from) : [] });
      told.position = output.length;
      told.before = output.length;
    }
    this.#send(name, answers);
  }

  /** @param before the position where it begins in the output of its run */
  delta(key: string, delta: Delta, before: number): void {
    for (const reader of this.#readers.values()) {
      const told = reader.runs.get(key);
      if (told === undefined) continue;
      told.position = before + lengthOf(delta);
      const news = reader.news.get(key);
      if (news === undefined) reader.news.set(key, { key, from: before, output: [delta] });
      else news.output.push(delta);
      this.#flushLater();
    }
  }

  /** A sign of life is due: a reader that has died reads nothing. */
  tick(): void {
    for (const [name, reader] of this.#readers) if (++reader.missed > MOST_MISSED) this.#readers.delete(name);
  }

  #add(name: string): Reader | null {
    if (this.#readers.size >= MOST) return null;
    const reader: Reader = { runs: new Map(), news: new Map(), missed: 0 };
    this.#readers.set(name, reader);
    return reader;
  }

  #flushLater(): void {
    if (this.#flushes) return;
    this.#flushes = true;
    setImmediate(() => {
      this.#flushes = false;
      for (const [name, reader] of this.#readers) this.#flushTo(name, reader);
    });
  }

  #flushTo(name: string, reader: Reader): void {
    if (reader.news.size === 0) return;
    const runs = [...reader.news.values()];
    reader.news = new Map();
    this.#send(name, runs);
  }

  #send(name: string, runs: ToReader["runs"]): void {
    this.#parts.send(textTo(this.#parts.machine, name), { version: PROTOCOL, runs });
  }
}
