/**
 * The events of a task for a reader who has asked a server that stands by.
 *
 *  1. The leader says which run on which machine there is to read, and when it is over (relay.ts). The text comes from that machine's agent.
 *  2. Events that the leader sends go on as they come, whole ones only. Their ids, and those of our own, say how much the reader has.
 *  3. When the leader says no more, for whatever reason, whoever leads then is asked for what is behind that position: of a task that has ended,
 *     the rest and its end, as they are stored. Until it is found, the text goes on; while it answers, nothing is told twice, as nothing is told.
 *  4. Where no text comes from the agent, the leader is asked for the events, as a client asks, until the next attempt or the next leader. A
 *     submission stays open meanwhile: with it, its client would seem to have left.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { FastifyReply } from "fastify";
import type { Reading, TextReader } from "../../cluster/text-reader.ts";
import { mayHold } from "../answers.ts";
import { probeWhenHalfClosed } from "../disconnects.ts";
import { EventStream, type Position } from "../event-stream.ts";
import { type Blocks, EventBlocks } from "./event-blocks.ts";
import { RELAY, type RelayedRun, RUN, runOf } from "./relay.ts";

export interface RelayedStreamParts {
  readonly reply: FastifyReply;
  readonly id: string;
  readonly position: Position;
  /** Whether its client has left for the leader when the first request ends. */
  readonly isSubmission: boolean;
  /**
   * Asks the server that leads for the events behind a position; null: none does, or it does not answer.
   * @param relays whether the text of runs may come from elsewhere
   */
  ask(lastEventId: string | null, relays: boolean): Promise<IncomingMessage | null>;
  readonly texts: TextReader;
  /** Whether this server stops. */
  isClosed(): boolean;
}

/** Milliseconds until whoever leads is asked again: each time twice as long, up to the longest. */
const AGAIN = 250;
const LONGEST = 2000;
/** As a part of that: readers do not all come at once. */
const JITTER = 0.25;
/** Together half a minute, in which another one leads long since. */
const MOST_PAUSES = 17;

/** A leader says so much of an answer whose text comes from elsewhere. */
type Relayed = Pick<RelayedStreamParts, "id" | "position"> & {
  /** To the rest of it. */
  readonly pass: string | null;
};

/** A run whose text this server reads. */
interface Read extends RelayedRun {
  readonly reading: Reading;
}

/** @returns null: it is no such answer */
export function relayedFrom({ statusCode, headers }: IncomingMessage): Relayed | null {
  if (statusCode !== 200) return null;
  const [at = "", pass = null] = String(headers[RELAY] ?? "").split(" ");
  const [id, attempt, offset] = at.split(":");
  if (offset === undefined) return null;
  return { id: id!, position: { attempt: Number(attempt), offset: Number(offset) }, pass };
}

export class RelayedStream {
  readonly #parts: RelayedStreamParts;
  readonly #to: ServerResponse;
  /** Writes the text; has the position of the reader. */
  readonly #events: EventStream;
  readonly #first: IncomingMessage;
  /** The words of the leader; null: it is being asked. */
  #answer: IncomingMessage | null = null;
  #blocks = new EventBlocks();
  #read: Read | null = null;
  /** Whether no text may be told, as the leader is telling what is behind the position. */
  #isHeld = true;
  /** The attempt whose text cannot be read where it is; null: none. */
  #unread: number | null = null;
  /** Answers since a leader has last said something: a server that stops says nothing, again and again. */
  #asked = 1;
  #isEnded = false;
  #isOver = false;
  #stopProbes: (() => void) | null = null;

  /** @param first the answer of the leader, whose head has gone on */
  constructor(parts: RelayedStreamParts, first: IncomingMessage) {
    const { reply, id, position } = parts;
    this.#parts = parts;
    this.#to = reply.raw;
    this.#first = first;
    const hold = (characters: number): boolean => mayHold(reply, characters);
    this.#events = new EventStream(reply.raw, id, position, () => this.#end(), hold);
  }

  /** Goes on until its reader leaves, or the task has ended. */
  start(): void {
    this.#stopProbes = probeWhenHalfClosed(this.#parts.reply, () => this.#events.ping());
    this.#events.start({ now: () => this.#now(), stop: () => {} });
    this.#hear(this.#first);
  }

  // --- what the leader says ----------------------------------------------------------------------------------------

  #hear(answer: IncomingMessage): void {
    this.#answer = answer;
    this.#blocks = new EventBlocks();
    answer.on("data", (chunk: Buffer) => {
      if (answer === this.#answer && !this.#isOver) this.#take(answer, this.#blocks.take(chunk));
    });
    answer.on("error", () => {});
    answer.once("close", () => {
      if (answer === this.#answer && !this.#isOver) this.#goOn();
    });
  }

  #take(answer: IncomingMessage, { data, begins }: Blocks): void {
    if (data.length === 0) return;
    this.#asked = 0;
    // Each byte is a character of it, whatever they mean together.
    const text = data.toString("latin1", begins);
    const run = [...text.matchAll(RUN)].at(-1)?.[1];
    const events =
      run === undefined
        ? data
        : Buffer.concat([data.subarray(0, begins), Buffer.from(text.replaceAll(RUN, ""), "latin1")]);
    const at = text.lastIndexOf("\nid: ");
    if (at !== -1) this.#moveTo(text.slice(at + "\nid: ".length, text.indexOf("\n", at + 1)));
    if (events.length > 0 && !this.#to.write(events)) {
      answer.pause();
      this.#to.once("drain", () => answer.resume());
    }
    if (run !== undefined) this.#readFrom(runOf(run));
    else if (this.#isNextAttempt) this.#relayAgain();
  }

  get #isNextAttempt(): boolean {
    const isNext = this.#unread !== null && this.#events.position.attempt > this.#unread;
    return isNext && !this.#isEnded && !this.#blocks.isWithin;
  }

  #moveTo(id: string): void {
    this.#stopReading();
    const [, attempt, offset] = id.split(":");
    if (attempt === "end") this.#isEnded = true;
    else this.#events.moveTo({ attempt: Number(attempt), offset: Number(offset) });
  }

  /** The leader says no more. */
  #goOn(): void {
    this.#answer = null;
    // Half an event must not look like a whole one.
    if (this.#blocks.isWithin) this.#to.destroy();
    else if (this.#isEnded) this.#to.end();
    else this.#relayAgain();
  }

  /** Another leader, or another attempt: text may come from its machine. */
  #relayAgain(): void {
    this.#unread = null;
    this.#leaveAnswer();
    void this.#askAgain();
  }

  async #askAgain(): Promise<void> {
    while (this.#asked <= MOST_PAUSES) {
      if (this.#asked > 0) await this.#wait();
      if (this.#isOver || this.#parts.isClosed()) break;
      this.#asked++;
      this.#isHeld = true;
      const answer = await this.#parts.ask(this.#lastEventId, this.#unread === null).catch(() => null);
      if (this.#isOver) return void answer?.destroy();
      const status = answer?.statusCode ?? 503;
      if (status === 200) return this.#hear(answer!);
      // Its connection serves for the next one.
      answer?.on("error", () => {}).resume();
      if (status === 204) return void this.#to.end();
      // It has been removed, or its reader is let in no more.
      if (status < 500 && status !== 429) break;
    }
    this.#to.destroy();
  }

  /** The text goes on meanwhile. */
  #wait(): Promise<void> {
    this.#letGo();
    const wait = Math.min(LONGEST, AGAIN * 2 ** (this.#asked - 1));
    return pause(wait * (1 + JITTER * (2 * Math.random() - 1)));
  }

  get #lastEventId(): string | null {
    const { attempt, offset } = this.#events.position;
    return attempt === 0 ? null : `${this.#parts.id}:${attempt}:${offset}`;
  }

  // --- what the agent says -----------------------------------------------------------------------------------------

  #readFrom(run: RelayedRun | null): void {
    if (run === null) return this.#readAtLeader(this.#events.position.attempt);
    if (this.#read?.key !== run.key) {
      this.#stopReading();
      const { texts } = this.#parts;
      if (!texts.hears(run.machine)) return this.#readAtLeader(run.attempt);
      const reading = texts.read(run, {
        caughtUp: () => this.#tell(),
        delta: (delta, before) => {
          if (!this.#isHeld) this.#events.delta(delta, before);
        },
        failed: () => this.#readAtLeader(run.attempt),
      });
      this.#read = { ...run, reading };
    }
    this.#letGo();
  }

  #letGo(): void {
    this.#isHeld = false;
    this.#tell();
  }

  #tell(): void {
    if (this.#read !== null && this.#now() !== null) this.#events.placed(this.#read.attempt, this.#read.gpu_id);
  }

  #now() {
    if (this.#isHeld || this.#read?.reading.isThere !== true) return null;
    const { attempt, gpu_id: gpuId, reading } = this.#read;
    return { attempt, gpuId, model: null, output: reading.output.deltas };
  }

  #stopReading(): void {
    this.#read?.reading.stop();
    this.#read = null;
  }

  #readAtLeader(attempt: number): void {
    this.#stopReading();
    this.#unread = attempt;
    // It is being asked: then it tells a run once more, if at all.
    if (this.#answer === null) return;
    this.#leaveAnswer();
    void this.#askAgain();
  }

  /** Nothing more is heard of it, and its caller has room for another one. */
  #leaveAnswer(): void {
    if (this.#answer !== this.#first || !this.#parts.isSubmission) this.#answer?.destroy();
    this.#answer = null;
  }

  #end(): void {
    this.#isOver = true;
    this.#stopProbes?.();
    this.#stopReading();
    this.#answer?.destroy();
    this.#first.destroy();
  }
}
