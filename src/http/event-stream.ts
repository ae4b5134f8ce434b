/** Server-sent events about one task, for one reader. */
import { type Writable } from "node:stream";
import { type Following, type Listener, type TaskSnapshot } from "../tasks/task-api.ts";
import { attemptNumber } from "../task.ts";
import { jsonLine } from "./json-line.ts";
import { viewOfTask } from "./views.ts";

/** How much of a task's events a reader has. */
export interface Position {
  /** 0: it has heard of none yet. */
  readonly attempt: number;
  /** UTF-16 units of that attempt's text. */
  readonly offset: number;
}

export const BEGINNING: Position = { attempt: 0, offset: 0 };

/**
 * Nothing is buffered here for a reader that is slow: while the connection takes no more, only the position is kept, and then the
 * text from there on goes out as one piece.
 *
 * 1. An event is written only when the one before was taken (`write` said true, or `drain` came since).
 * 2. Every write moves the position, so that each unit of text and the end go out exactly once.
 * 3. An attempt is announced before any of its text.
 */
export class EventStream implements Listener {
  readonly #raw: Writable;
  readonly #taskId: string;
  readonly #onOver: (left: boolean) => void;
  readonly #hold: (characters: number) => boolean;
  #following: Following | null = null;
  #attempt: number;
  #offset: number;
  #blocked = false;
  #over = false;
  /** It has ended, and the reader has not been told yet. */
  #final: TaskSnapshot | null = null;

  /**
   * @param onOver called once, with whether the reader went before the task had ended
   * @param hold called with what is about to be written, in characters; false: there is no memory for it, and the reader has to come again
   */
  constructor(
    raw: Writable,
    taskId: string,
    { attempt, offset }: Position,
    onOver: (left: boolean) => void,
    hold: (characters: number) => boolean = () => true,
  ) {
    this.#raw = raw;
    this.#hold = hold;
    this.#taskId = taskId;
    this.#attempt = attempt;
    this.#offset = offset;
    this.#onOver = onOver;
  }

  /** Sends what the reader has missed; from now on it gets what comes. */
  start(following: Following): void {
    this.#following = following;
    this.#raw.on("drain", () => this.#drained());
    this.#raw.once("close", () => {
      if (!this.#over) this.#release(this.#final === null);
    });
    const now = following.now();
    // A position that this attempt does not have is none.
    if (now?.attempt === this.#attempt && !isBetweenCharacters(now.text, this.#offset)) this.#attempt = 0;
    this.#catchUp();
  }

  ping(): void {
    if (!this.#blocked && !this.#over) this.#write(": ping\n\n");
  }

  placed(attempt: number, gpuId: number): void {
    if (this.#blocked || this.#over) return;
    if (attempt !== this.#attempt) this.#write(this.#place(attempt, gpuId));
    this.#catchUp();
  }

  text(piece: string, before: number): void {
    if (this.#blocked || this.#over) return;
    this.#write(this.#token(wholeCharacters(this.#unsent(piece, before))));
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

  /** The text up to the end of a piece that the reader has not got yet. */
  #unsent(piece: string, before: number): string {
    // Of a reader that is up to date the whole text is not touched, which may be long.
    if (before === this.#offset) return piece;
    if (before < this.#offset) return piece.slice(this.#offset - before);
    const text = this.#following?.now()?.text ?? "";
    return text.slice(this.#offset, before) + piece;
  }

  #catchUp(): void {
    const now = this.#following?.now() ?? null;
    if (now === null || this.#blocked) return;
    const placed = now.attempt === this.#attempt ? "" : this.#place(now.attempt, now.gpuId);
    this.#write(placed + this.#token(wholeCharacters(now.text.slice(this.#offset))));
  }

  /** The rest, and the end, at once: it is no more than the task itself. */
  #end(task: TaskSnapshot): void {
    const attempt = attemptNumber(task);
    const last = task.attempts.at(-1);
    const text = task.result?.text;
    const isKnown = attempt === this.#attempt && (text === undefined || isBetweenCharacters(text, this.#offset));
    const placed = last === undefined || isKnown ? "" : this.#place(attempt, last.gpuId);
    const rest = text === undefined ? "" : this.#token(text.slice(this.#offset));
    const final = eventOf(task.status, `${this.#taskId}:end`, viewOfTask(task));
    this.#finish(placed + rest + final);
  }

  #place(attempt: number, gpuId: number): string {
    this.#attempt = attempt;
    this.#offset = 0;
    return eventOf("placed", this.#id(), { task_id: this.#taskId, gpu_id: gpuId, attempt });
  }

  #token(text: string): string {
    if (text === "") return "";
    this.#offset += text.length;
    return eventOf("token", this.#id(), { text });
  }

  #id(): string {
    return `${this.#taskId}:${this.#attempt}:${this.#offset}`;
  }

  #write(events: string): void {
    if (events === "") return;
    if (this.#hold(events.length)) this.#blocked = !this.#raw.write(events);
    else this.#raw.destroy();
  }

  #finish(last = ""): void {
    this.#release(false);
    if (this.#hold(last.length)) this.#raw.end(last);
    else this.#raw.destroy();
  }

  #release(left: boolean): void {
    this.#over = true;
    this.#following?.stop();
    this.#onOver(left);
  }
}

function eventOf(name: string, id: string, data: object): string {
  return `event: ${name}\nid: ${id}\ndata: ${jsonLine(data)}\n\n`;
}

/** Half of a surrogate pair waits for the other half: as two events they would be two characters that do not exist. */
function wholeCharacters(text: string): string {
  return isHighSurrogate(text, text.length - 1) ? text.slice(0, -1) : text;
}

/** Whether text may be cut there; not when it is shorter. */
function isBetweenCharacters(text: string, offset: number): boolean {
  return offset <= text.length && !isHighSurrogate(text, offset - 1);
}

function isHighSurrogate(text: string, index: number): boolean {
  return (text.charCodeAt(index) & 0xfc_00) === 0xd8_00;
}
