/**
 * The events of a task for a reader who has asked a server that stands by.
 *
 *  1. The leader says which run on which machine there is to read, and when it is over (relay.ts). The text comes from that machine's agent.
 *  2. Events that the leader sends go on as they come, whole ones only. Their ids, and those of our own, say how much the reader has.
 *  3. When the leader says no more, for whatever reason, whoever leads then is asked for what is behind that position: of a task that has ended,
 *     the rest and its end, as they are stored. Until it is found, the text goes on; while it answers, nothing is told twice, as nothing is told.
 *  4. Where no text comes from the agent, the leader is asked for the events as anybody asks. The first request to it stays open: with it, its
 *     client would seem to have left.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { FastifyReply } from "fastify";
import type { Reading, TextReader } from "../../cluster/text-reader.ts";
import { probeWhenHalfClosed } from "../disconnects.ts";
import { EventStream, type Position } from "../event-stream.ts";
import { EventBlocks } from "./event-blocks.ts";
import { RELAY, type RelayedRun, RUN } from "./relay.ts";

export interface RelayedStreamParts {
  readonly reply: FastifyReply;
  readonly id: string;
  readonly position: Position;
  /**
   * Asks the server that leads for the events behind a position; null: none does, or it does not answer.
   * @param relays whether the text of runs may come from elsewhere
   */
  ask(lastEventId: string | null, relays: boolean): Promise<IncomingMessage | null>;
  readonly texts: TextReader;
  /** Whether this server stops. */
  isClosed(): boolean;
}

/** Milliseconds until whoever leads is asked again, and how often: half a minute, in which another one leads long since. */
const AGAIN = 250;
const MOST_TRIES = 120;

/** A run whose text this server reads. */
interface Read extends RelayedRun {
  readonly reading: Reading;
}

/** @returns how much of a task's events the reader of an answer has; null: it is no such answer */
export function relayedFrom({ headers }: IncomingMessage): Pick<RelayedStreamParts, "id" | "position"> | null {
  const [id, attempt, offset] = String(headers[RELAY] ?? "").split(":");
  if (offset === undefined) return null;
  return { id: id!, position: { attempt: Number(attempt), offset: Number(offset) } };
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
  #relays = true;
  /** Whether the last answer has said anything: a server that stops says nothing, again and again. */
  #hasSaid = false;
  #isEnded = false;
  #isOver = false;
  #stopProbes: (() => void) | null = null;

  /** @param first the answer of the leader, whose head has gone on */
  constructor(parts: RelayedStreamParts, first: IncomingMessage) {
    const { reply, id, position } = parts;
    this.#parts = parts;
    this.#to = reply.raw;
    this.#first = first;
    this.#events = new EventStream(reply.raw, id, position, () => this.#end());
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
    this.#hasSaid = false;
    answer.on("data", (chunk: Buffer) => {
      if (answer === this.#answer && !this.#isOver) this.#take(answer, this.#blocks.take(chunk));
    });
    answer.on("error", () => {});
    answer.once("close", () => {
      if (answer === this.#answer && !this.#isOver) this.#goOn();
    });
  }

  #take(answer: IncomingMessage, blocks: Buffer): void {
    if (blocks.length === 0) return;
    this.#hasSaid = true;
    // Each byte is a character of it, whatever they mean together.
    const text = blocks.toString("latin1");
    const run = [...text.matchAll(RUN)].at(-1)?.[1];
    const events = run === undefined ? blocks : Buffer.from(text.replaceAll(RUN, ""), "latin1");
    const at = text.lastIndexOf("\nid: ");
    if (at !== -1) this.#moveTo(text.slice(at + "\nid: ".length, text.indexOf("\n", at + 1)));
    if (events.length > 0 && !this.#to.write(events)) {
      answer.pause();
      this.#to.once("drain", () => answer.resume());
    }
    if (run !== undefined) this.#readFrom(JSON.parse(run) as RelayedRun);
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
    if (this.#isEnded) this.#to.end();
    // Half an event must not look like a whole one.
    else if (this.#blocks.isWithin) this.#to.destroy();
    else void this.#askAgain();
  }

  async #askAgain(): Promise<void> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      if (tries > 0 || !this.#hasSaid) await this.#wait();
      if (this.#isOver || this.#parts.isClosed()) break;
      this.#isHeld = true;
      const answer = await this.#parts.ask(this.#lastEventId, this.#relays).catch(() => null);
      if (this.#isOver) return void answer?.destroy();
      const status = answer?.statusCode ?? 503;
      if (status === 200) return this.#hear(answer!);
      answer?.destroy();
      if (status === 204) return void this.#to.end();
      // It has been removed, or its reader is let in no more.
      if (status < 500 && status !== 429) break;
    }
    this.#to.destroy();
  }

  /** The text goes on meanwhile. */
  #wait(): Promise<void> {
    this.#letGo();
    return pause(AGAIN);
  }

  get #lastEventId(): string | null {
    const { attempt, offset } = this.#events.position;
    return attempt === 0 ? null : `${this.#parts.id}:${attempt}:${offset}`;
  }

  // --- what the agent says -----------------------------------------------------------------------------------------

  #readFrom(run: RelayedRun): void {
    if (this.#read?.key !== run.key) {
      this.#stopReading();
      const { texts } = this.#parts;
      if (!texts.hears(run.machine)) return this.#readAtLeader();
      const reading = texts.read(run, {
        caughtUp: () => this.#tell(),
        delta: (delta, before) => {
          if (!this.#isHeld) this.#events.delta(delta, before);
        },
        failed: () => this.#readAtLeader(),
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

  #readAtLeader(): void {
    this.#stopReading();
    this.#relays = false;
    // It is being asked: then it tells a run once more, if at all.
    if (this.#answer === null) return;
    if (this.#answer !== this.#first) this.#answer.destroy();
    this.#answer = null;
    void this.#askAgain();
  }

  #end(): void {
    this.#isOver = true;
    this.#stopProbes?.();
    this.#stopReading();
    this.#answer?.destroy();
    this.#first.destroy();
  }
}
