/**
 * The part of a leader in an event stream whose reader has asked a server that stands by: it says which run on which machine there is to read, and
 * when that is over. The text does not come here (relayed-stream.ts).
 */
import type { ServerResponse } from "node:http";
import type { Elsewhere } from "../../gpu/any-pool.ts";
import type { Following, Listener, TaskSnapshot } from "../../tasks/task-api.ts";
import { beginLiveAnswer } from "../live-answer.ts";
import { EVENT_STREAM, type Live, type Reader, signsOfLife, streamEvents } from "../task-stream.ts";

/**
 * The header of such a stream. It has the id of an event, like `Last-Event-ID`: how much of it the reader has; and a pass to the rest
 * (passes.ts).
 */
export const RELAY = "x-alt-las-relay";

/** A run that the reader's server is to read. */
export interface RelayedRun extends Elsewhere {
  readonly attempt: number;
  readonly gpu_id: number;
}

/** A comment of the stream, which goes no further. It is looked for where an event begins, and not within one. */
export const RUN = /^: run (\{.*\})\n\n/gm;

/** @returns null: this version knows no such run */
export function runOf(json: string): RelayedRun | null {
  try {
    const run = JSON.parse(json) as RelayedRun;
    const isNamed = typeof run.machine === "string" && typeof run.key === "string";
    return isNamed && Number.isInteger(run.attempt) && Number.isInteger(run.gpu_id) ? run : null;
  } catch {
    return null;
  }
}

/** Answers a server that stands by. @throws {AltLasError} `not_found`: the task has just been removed */
export async function relayTask(live: Live, reader: Reader): Promise<void> {
  const { tasks, reply } = live;
  const { id, position } = reader;
  const relay = new Relay(live, reader);
  const following = tasks.follow(id, relay);
  if (following === null) return streamEvents(live, reader);
  if (reply.request.pass === undefined) reply.server.passes!.give(reply, reader);
  reply.header(RELAY, `${id}:${position.attempt}:${position.offset} ${reply.request.pass!.key}`);
  beginLiveAnswer(reply, EVENT_STREAM, "with events");
  relay.start(following);
}

class Relay implements Listener {
  readonly readsElsewhere = true;
  readonly #live: Live;
  readonly #reader: Reader;
  readonly #raw: ServerResponse;
  #following: Following | null = null;
  #stop: (() => void) | null = null;
  /** The run that was told; null: none. */
  #told: string | null = null;
  #isOver = false;

  constructor(live: Live, reader: Reader) {
    this.#live = live;
    this.#reader = reader;
    this.#raw = live.reply.raw;
  }

  start(following: Following): void {
    this.#following = following;
    this.#stop = signsOfLife(this.#live.pings, this.#live.reply, this);
    this.#raw.once("close", () => {
      if (this.#isOver) return;
      this.#release();
      this.#reader.onLeft?.();
    });
    this.started();
  }

  started(): void {
    const place = this.#following?.where() ?? null;
    if (this.#isOver || place === null) return;
    const run = this.#following!.elsewhere();
    if (run === null) return this.#readHere();
    if (run.key === this.#told) return;
    this.#told = run.key;
    const said: RelayedRun = { ...run, attempt: place.attempt, gpu_id: place.gpuId };
    this.#raw.write(`: run ${JSON.stringify(said)}\n\n`);
  }

  placed(): void {}
  delta(): void {}

  ping(): void {
    if (!this.#raw.writableNeedDrain) this.#raw.write(": ping\n\n");
  }

  /** Its reader comes again for what it has not read. */
  ended(_task: TaskSnapshot): void {
    this.#live.reply.request.pass?.settle();
    this.#readHere();
  }

  closed(): void {
    if (!this.#isOver) this.#finish();
  }

  /** The reader gets everything from this server. Where it has read elsewhere, only its own server knows how much, and asks again. */
  #readHere(): void {
    if (this.#isOver) return;
    if (this.#told !== null) return this.#finish();
    // The other one follows first, so that nothing is missed.
    void streamEvents(this.#live, this.#reader).catch(() => this.#raw.destroy());
    this.#release();
  }

  #finish(): void {
    this.#release();
    this.#raw.end();
  }

  #release(): void {
    this.#isOver = true;
    this.#stop?.();
    this.#following?.stop();
  }
}
