/** Server-sent events about one task, for one reader. */
import type { Writable } from "node:stream";
import type { Following, Listener, TaskSnapshot } from "../tasks/task-api.ts";
import { after, canCut, type Delta, deltasOf, type EmbeddingDelta, lengthOf, wholeCharacters } from "../output.ts";
import { attemptNumber } from "../task.ts";
import type { Language } from "../words/language.ts";
import { jsonLine } from "./json-line.ts";
import { viewIn } from "./reader-language.ts";
import type { TokenLogprobView } from "./schemas/tasks.ts";
import { viewOfTask, viewOfToken } from "./views.ts";

/** The data of a `token` event. */
interface TokenData {
  readonly text: string;
  readonly reasoning?: string;
  readonly logprobs?: readonly TokenLogprobView[];
  /** With the id and the name where the call begins. */
  readonly tool_call?: {
    readonly index: number;
    readonly id?: string;
    readonly name?: string;
    readonly arguments: string;
  };
}

/** How much of a task's events a reader has. */
export interface Position {
  /** 0: it has heard of none yet. */
  readonly attempt: number;
  /** The position in that attempt's output: see output.ts. */
  readonly offset: number;
}

export const BEGINNING: Position = { attempt: 0, offset: 0 };

/** Milliseconds that the event of a task's place waits for its first text: each write costs a twentieth of all that a short task does. */
const PATIENCE = 5;

/**
 * Nothing is buffered here for a reader that is slow: while the connection takes no more, only the position is kept, and then the
 * output from there on goes out together.
 *
 * 1. An event is written only when the one before was taken (`write` said true, or `drain` came since).
 * 2. Every write moves the position, so that each part of the output and the end go out exactly once.
 * 3. An attempt is announced before any of its output.
 */
export class EventStream implements Listener {
  readonly #raw: Writable;
  readonly #taskId: string;
  readonly #onOver: (left: boolean, ended: TaskSnapshot | null) => void;
  readonly #hold: (characters: number) => boolean;
  readonly #language: Language;
  #following: Pick<Following, "now" | "stop"> | null = null;
  #attempt: number;
  #offset: number;
  /** Whether the position that its reader came with is known to be one. */
  #isChecked = false;
  #blocked = false;
  #over = false;
  /** It has ended, and the reader has not been told yet. */
  #final: TaskSnapshot | null = null;
  /** The way to begin the answer, and the events that wait for that; null: it has begun. */
  #beginning: { readonly begin: () => void; readonly timer: NodeJS.Timeout; events: string } | null = null;

  /**
   * @param onOver called once, with whether the reader went before the task had ended, and with its end
   * @param hold called with what is about to be written, in characters; false: there is no memory for it, and the reader has to come again
   * @param language of its reader
   */
  constructor(
    raw: Writable,
    taskId: string,
    { attempt, offset }: Position,
    onOver: (left: boolean, ended: TaskSnapshot | null) => void,
    hold: (characters: number) => boolean = () => true,
    language: Language = "en",
  ) {
    this.#raw = raw;
    this.#hold = hold;
    this.#language = language;
    this.#taskId = taskId;
    this.#attempt = attempt;
    this.#offset = offset;
    this.#onOver = onOver;
  }

  /**
   * Sends what the reader has missed; from now on it gets what comes.
   * @param begin begins the answer, with the first text or after some milliseconds; absent: it has begun
   */
  start(following: Pick<Following, "now" | "stop">, begin?: () => void): void {
    this.#following = following;
    if (begin !== undefined)
      this.#beginning = { begin, timer: setTimeout(() => this.#send(this.#begun()), PATIENCE), events: "" };
    this.#raw.on("drain", () => this.#drained());
    this.#raw.once("close", () => {
      if (!this.#over) this.#release(this.#final === null);
    });
    this.#catchUp();
  }

  /** How much the reader has, or is about to get. */
  get position(): Position {
    return { attempt: this.#attempt, offset: this.#offset };
  }

  /** The reader has got what comes before a position in another way. */
  moveTo({ attempt, offset }: Position): void {
    this.#attempt = attempt;
    this.#offset = offset;
  }

  ping(): void {
    if (!this.#blocked && !this.#over) this.#write(": ping\n\n");
  }

  placed(attempt: number, gpuId: number): void {
    if (this.#blocked || this.#over) return;
    if (attempt !== this.#attempt) this.#write(this.#place(attempt, gpuId), true);
    this.#catchUp();
  }

  delta(delta: Delta, before: number): void {
    if (this.#blocked || this.#over) return;
    this.#write(this.#eventsOf(wholeCharacters(this.#unsent(delta, before))));
  }

  ended(task: TaskSnapshot): void {
    if (this.#over) return;
    this.#final = task;
    if (!this.#blocked) this.#end(task);
  }

  closed(): void {
    if (!this.#over) this.#finish();
  }

  #drained(): void {
    this.#blocked = false;
    if (this.#over) return;
    if (this.#final === null) this.#catchUp();
    else this.#end(this.#final);
  }

  /** The output up to the end of a delta that the reader has not got yet. */
  #unsent(delta: Delta, before: number): readonly Delta[] {
    // Of a reader that is up to date the whole output is not touched, which may be long.
    if (before === this.#offset) return [delta];
    if (before < this.#offset) return after([delta], this.#offset - before);
    return after(this.#following?.now()?.output ?? [], this.#offset);
  }

  #catchUp(): void {
    const now = this.#following?.now() ?? null;
    if (now === null || this.#blocked) return;
    // A position that this attempt does not have is none.
    if (!this.#isChecked && now.attempt === this.#attempt && !canCut(now.output, this.#offset)) this.#attempt = 0;
    this.#isChecked = true;
    const placed = now.attempt === this.#attempt ? "" : this.#place(now.attempt, now.gpuId);
    const text = this.#eventsOf(wholeCharacters(after(now.output, this.#offset)));
    this.#write(placed + text, text === "");
  }

  /** The rest, and the end, at once: it is no more than the task itself. */
  #end(task: TaskSnapshot): void {
    const attempt = attemptNumber(task);
    const last = task.attempts.at(-1);
    const output = task.result === null ? null : deltasOf(task.result);
    const isKnown = attempt === this.#attempt && (output === null || canCut(output, this.#offset));
    const placed = last === undefined || isKnown ? "" : this.#place(attempt, last.gpuId);
    const rest = output === null ? "" : this.#eventsOf(after(output, this.#offset));
    const final = eventOf(task.status, `${this.#taskId}:end`, viewIn(this.#language, viewOfTask(task)));
    this.#finish(placed + rest + final);
  }

  #place(attempt: number, gpuId: number): string {
    this.#attempt = attempt;
    this.#offset = 0;
    return eventOf("placed", this.#id(), { task_id: this.#taskId, gpu_id: gpuId, attempt });
  }

  #eventsOf(deltas: readonly Delta[]): string {
    let events = "";
    for (const delta of deltas) {
      const length = lengthOf(delta);
      if (length === 0) continue;
      this.#offset += length;
      // Vectors come with the end: a piece of one is of no use to anybody.
      if (delta.kind !== "embedding") events += eventOf("token", this.#id(), dataOf(delta));
    }
    return events;
  }

  #id(): string {
    return `${this.#taskId}:${this.#attempt}:${this.#offset}`;
  }

  /** @param mayWait for the first text */
  #write(events: string, mayWait = false): void {
    if (events === "") return;
    if (mayWait && this.#beginning !== null) this.#beginning.events += events;
    else this.#send(this.#begun() + events);
  }

  #send(events: string): void {
    if (events === "") return;
    if (this.#hold(events.length)) this.#blocked = !this.#raw.write(events);
    else this.#raw.destroy();
  }

  /** Begins the answer, if it has not begun. @returns what has waited for that */
  #begun(): string {
    const beginning = this.#beginning;
    if (beginning === null) return "";
    this.#beginning = null;
    clearTimeout(beginning.timer);
    beginning.begin();
    return beginning.events;
  }

  #finish(end = ""): void {
    const last = this.#begun() + end;
    this.#release(false);
    if (this.#hold(last.length)) this.#raw.end(last);
    else this.#raw.destroy();
  }

  #release(left: boolean): void {
    this.#over = true;
    clearTimeout(this.#beginning?.timer);
    this.#following?.stop();
    this.#onOver(left, this.#final);
  }
}

/** With a text in any case: a client that adds up texts must not add what the model has written for itself, nor "undefined". */
function dataOf(delta: Exclude<Delta, EmbeddingDelta>): TokenData {
  switch (delta.kind) {
    case "text":
      return { text: delta.text, ...(delta.logprobs && { logprobs: delta.logprobs.map(viewOfToken) }) };
    case "reasoning":
      return { text: "", reasoning: delta.text };
    case "tool_call": {
      const { index, call, arguments: piece } = delta;
      return { text: "", tool_call: { index, ...call, arguments: piece } };
    }
  }
}

function eventOf(name: string, id: string, data: object): string {
  return `event: ${name}\nid: ${id}\ndata: ${jsonLine(data)}\n\n`;
}
