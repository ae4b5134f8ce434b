/** Server-sent events about the server as a whole, for one reader. */
import type { Writable } from "node:stream";
import { isoTime } from "../common/clock.ts";
import type { EventRing } from "../observe/event-ring.ts";
import type { TaskChange, ChangedTasks } from "../observe/task-changes.ts";
import type { OperatorEvent } from "../topics.ts";
import type { Language } from "../words/language.ts";
import { jsonLine } from "./json-line.ts";
import type { Pinged } from "./pings.ts";
import { viewIn } from "./reader-language.ts";

export interface OperatorReader {
  /** The number of the last operators' event that it has; null: it gets none of them. */
  readonly from: number | null;
  /** The events and changes that it missed, of another run or of this one before it came; null: none. */
  readonly missed: Missed | null;
  /** Whether it may see a task; null: it sees all of them. */
  readonly sees: ((task: TaskChange) => boolean) | null;
  /** An event in the words that it may read. */
  readonly worded: (event: OperatorEvent) => OperatorEvent;
  readonly language: Language;
  /** Called with what is about to be written, in characters; false: there is no memory for it, and the reader has to come again. */
  readonly hold: (characters: number) => boolean;
}

/** The events and changes that a reader has missed. */
export interface Missed {
  /** Operators' events; null: nobody knows how many. */
  readonly events: number | null;
  /** Changes of tasks. */
  readonly tasks: boolean;
  readonly sentence: string;
}

/**
 * As with the events of one task, nothing is buffered for a slow reader: while the connection takes no more, only its position among
 * the operators' events is kept, and that changes of tasks passed it by. It is told so when it reads on.
 *
 * 1. An event is written only when the one before was taken (`write` said true, or `drain` came since).
 * 2. Each event has the id of the last operators' event before it or of its own, so that a reader can come again after any of them.
 */
export class OperatorStream implements Pinged {
  readonly #raw: Writable;
  readonly #ring: EventRing;
  readonly #reader: OperatorReader;
  #position: number;
  #blocked = false;
  #over = false;
  #missedTasks = false;

  constructor(raw: Writable, ring: EventRing, reader: OperatorReader) {
    this.#raw = raw;
    this.#ring = ring;
    this.#reader = reader;
    this.#position = reader.from ?? ring.last;
  }

  /** Greets the reader, and sends what it asked for of the past. @param onOver called once, when it has gone or `close` was called */
  start(onOver: () => void): void {
    this.#raw.on("drain", () => this.#drained());
    this.#raw.once("close", () => {
      this.#over = true;
      onOver();
    });
    const { missed } = this.#reader;
    const hello = this.#event("hello", { run: this.#ring.run });
    this.#write(hello + (missed === null ? "" : this.#event("missed", missed)) + this.#news());
  }

  ping(): void {
    if (!this.#blocked && !this.#over) this.#write(": ping\n\n");
  }

  /** The ring has something new. */
  told(): void {
    if (!this.#blocked && !this.#over) this.#write(this.#news());
  }

  changed(news: ChangedTasks): void {
    if (this.#over) return;
    if (this.#blocked) {
      this.#missedTasks = true;
      return;
    }
    const data = dataOf(news, this.#reader.sees);
    const event = data === null ? "" : this.#eventWith("task", data);
    this.#write(news.leftOut === 0 ? event : event + this.#event("missed", TASKS_MISSED));
  }

  /** The server ends it; the reader may come again. */
  close(): void {
    if (!this.#over) this.#raw.end();
  }

  #drained(): void {
    this.#blocked = false;
    if (this.#over) return;
    const missed = this.#missedTasks ? this.#event("missed", TASKS_MISSED) : "";
    this.#missedTasks = false;
    this.#write(missed + this.#news());
  }

  /** The operators' events that it does not have yet. */
  #news(): string {
    if (this.#reader.from === null) {
      this.#position = this.#ring.last;
      return "";
    }
    const lost = this.#ring.before - this.#position;
    let news = "";
    if (lost > 0) {
      this.#position = this.#ring.before;
      news = this.#event("missed", { events: lost, tasks: false, sentence: `${lost} events are not kept any more.` });
    }
    for (const { number, event } of this.#ring.after(this.#position)) {
      this.#position = number;
      news += this.#event(event.kind, viewOfOperatorEvent(this.#reader.worded(event)));
    }
    return news;
  }

  #event(name: string, data: object): string {
    return this.#eventWith(name, jsonLine(viewIn(this.#reader.language, data)));
  }

  #eventWith(name: string, data: string): string {
    return `event: ${name}\nid: ${this.#ring.run}-${this.#position}\ndata: ${data}\n\n`;
  }

  #write(events: string): void {
    if (events === "") return;
    if (this.#reader.hold(events.length)) this.#blocked = !this.#raw.write(events);
    else this.#raw.destroy();
  }
}

const TASKS_MISSED: Missed = {
  events: 0,
  tasks: true,
  sentence: "Changes of tasks were left out: read GET /tasks again.",
};

/** The data for readers that see all tasks, which is the same for all of them. */
const forAll = new WeakMap<ChangedTasks, string>();

/** null: there is nothing for this reader. */
function dataOf(news: ChangedTasks, sees: OperatorReader["sees"]): string | null {
  const known = sees === null ? forAll.get(news) : undefined;
  if (known !== undefined) return known;
  const changes = sees === null ? news.changes : news.changes.filter(sees);
  if (changes.length === 0) return null;
  const data = jsonLine({ tasks: changes.map(viewOfChange) });
  if (sees === null) forAll.set(news, data);
  return data;
}

/** Only what is known: a message may have a thousand of them. */
function viewOfChange(change: TaskChange): object {
  const { id, user, status, gpuId, model, batchId, createdAt, startedAt, firstOutputAt, finishedAt } = change;
  return {
    task_id: id,
    user,
    status,
    gpu_id: gpuId,
    ...(model !== null && { model }),
    ...(batchId !== null && { batch_id: batchId }),
    created_at: isoTime(createdAt),
    ...(startedAt !== null && { started_at: isoTime(startedAt) }),
    ...(firstOutputAt !== null && { first_output_at: isoTime(firstOutputAt) }),
    ...(finishedAt !== null && { finished_at: isoTime(finishedAt) }),
  };
}

function viewOfOperatorEvent({ at, kind, event, gpuId, model, by, count, sentence }: OperatorEvent): object {
  return { at: isoTime(at), kind, event, gpu_id: gpuId, model, by, count, sentence };
}
