/** The events of a response, for one reader. */
import type { FastifyReply } from "fastify";
import type { Caller } from "../../../auth/credentials.ts";
import { AltLasError } from "../../../errors.ts";
import type { Delta } from "../../../output.ts";
import { isFinal } from "../../../task.ts";
import type { Following, Listener, TaskSnapshot } from "../../../tasks/task-api.ts";
import { holdForAnswer, LARGE, mayHold } from "../../answers.ts";
import { probeWhenHalfClosed } from "../../disconnects.ts";
import { EVENT_STREAM } from "../../task-stream.ts";
import { beginLiveAnswer } from "../../live-answer.ts";
import { jsonLine } from "../../json-line.ts";
import type { Pings } from "../../pings.ts";
import type { ServerParts } from "../../server-parts.ts";
import { tellRead } from "../../reads.ts";
import { languageOf, refusalFor, viewIn } from "../../reader-language.ts";
import { failureOf, goneTask } from "../../task-failure.ts";
import { openAiFailure } from "../envelope.ts";
import { highestNumber, ResponseReader } from "./events.ts";
import { factsOf, type Frame } from "./response.ts";
import { failureInWords } from "./words.ts";

/** Characters that are written together. */
const PIECE = 16 * 1024;

export interface ResponseStreamOptions {
  readonly task: Pick<TaskSnapshot, "id" | "model" | "attempts">;
  readonly frame: Frame;
  readonly caller: Caller;
  /** The number of the last event that the reader has; absent: it has none. */
  readonly last?: number;
  /** Whether it begins at once; else with its first words, so that what fails before has a status of its own. */
  readonly atOnce: boolean;
  /** Called when its reader leaves, or cannot be told how it ends. */
  readonly leave: () => void;
}

/**
 * Nothing is buffered here for a reader that is slow, as in event-stream.ts: while the connection takes no more, only the number of the last
 * event is kept, from which all others follow.
 */
export class ResponseStream implements Listener {
  readonly #reply: FastifyReply;
  readonly #parts: Pick<ServerParts, "tasks">;
  readonly #options: ResponseStreamOptions;
  readonly #reader: ResponseReader;
  readonly #begun = Promise.withResolvers<void>();
  #following: Following | null = null;
  /** It has ended; the reader may not know yet. */
  #final: TaskSnapshot | null = null;
  #live = false;
  #blocked = false;
  #over = false;
  #stop = (): void => {};

  constructor(reply: FastifyReply, parts: Pick<ServerParts, "tasks">, options: ResponseStreamOptions) {
    const { task, frame, caller, last } = options;
    this.#reply = reply;
    this.#parts = parts;
    this.#options = options;
    const facts = factsOf(task.id, frame, caller, () => this.#following?.where()?.model ?? task.model ?? "");
    const ended: typeof facts.ended = (of) => viewIn(languageOf(reply.request), facts.ended(of));
    this.#reader = new ResponseReader({ ...facts, ended }, last);
  }

  /**
   * Sends what comes; resolves when the answer has begun, or its reader has left.
   * @throws {AltLasError} it has failed before, or the reader's last number was never given out; `rate_limited`, `overloaded`
   */
  async start(pings: Pings): Promise<void> {
    const { raw } = this.#reply;
    const { frame, task } = this.#options;
    if (raw.destroyed) return this.#left();
    // It is kept until the end, while that of a task which waits is not in memory.
    const size = JSON.stringify(frame).length;
    if (size >= LARGE) holdForAnswer(this.#reply, size);
    // The caller that starts it hears of a failure at the end of this, and not before.
    this.#begun.promise.catch(() => {});
    this.#following = this.#parts.tasks.follow(task.id, this);
    const ended = this.#following === null ? await this.#parts.tasks.get(task.id) : null;
    try {
      if (this.#following === null && ended === null) throw goneTask(task.id);
      this.#refuseBeyond(ended);
    } catch (error) {
      this.#following?.stop();
      throw error;
    }
    this.#listen(pings);
    if (ended === null) this.#pump();
    else if (isFinal(ended.status)) this.ended(ended);
    else this.closed();
    if (this.#options.atOnce && !this.#over) this.#greet();
    return this.#begun.promise;
  }

  ping(): void {
    if (this.#blocked || this.#over) return;
    this.#write(this.#placeInLine() ?? ": ping\n\n");
    this.#pump();
  }

  /** Begins also where there is nothing to tell yet: its reader waits for the head of the answer. */
  #greet(): void {
    const comment = this.#placeInLine();
    if (comment !== null && !this.#blocked) this.#write(comment);
    else if (!this.#live) this.#begin();
  }

  /** A comment that says how long the line is that the task waits in; null: it does not wait. */
  #placeInLine(): string | null {
    const wait = this.#parts.tasks.waiting(this.#options.task.id);
    return wait && `: it waits, ${wait.ahead} ahead\n\n`;
  }

  placed(): void {
    this.#pump();
  }

  delta(delta: Delta, before: number): void {
    if (this.#blocked || this.#over) return;
    const event = this.#live ? this.#reader.next(delta, before) : null;
    if (event === null) this.#pump();
    else if (event !== "") this.#write(event);
  }

  ended(task: TaskSnapshot): void {
    this.#final = task;
    this.#pump();
  }

  closed(): void {
    const fate = this.#options.frame.background ? "goes on when it is started again" : "may be sent again";
    this.#fail(new AltLasError("draining", `The server is stopping; the response ${fate}.`, { retryAfter: 5 }));
  }

  #refuseBeyond(ended: TaskSnapshot | null): void {
    const { last, task, frame } = this.#options;
    if (last === undefined) return;
    const now = this.#following?.now() ?? null;
    const highest = highestNumber(
      { ...task, ...frame, last },
      ended ?? task,
      ended !== null && isFinal(ended.status),
      now,
    );
    if (last <= highest) return;
    const sentence = `starting_after must be the number of an event that was given out, ${highest} at most; got ${last}.`;
    throw new AltLasError("invalid_input", sentence, { param: "starting_after" });
  }

  #listen(pings: Pings): void {
    const { raw } = this.#reply;
    raw.on("drain", () => {
      this.#blocked = false;
      this.#pump();
    });
    raw.once("close", () => this.#left());
    const stopPings = pings.add(this);
    const stopProbes = probeWhenHalfClosed(this.#reply, () => this.ping());
    this.#stop = () => {
      stopPings();
      stopProbes();
    };
    if (raw.destroyed) this.#left();
  }

  /** Writes whatever the reader lacks, as far as it takes it. */
  #pump(): void {
    if (this.#over || this.#blocked) return;
    const final = this.#final;
    const now = this.#following?.now() ?? null;
    if (!this.#live && !this.#options.atOnce) {
      const failure = final === null ? null : failureOf(final, this.#options.caller);
      if (failure !== null) return this.#fail(failure);
      if (final === null && (now === null || now.output.length === 0)) return;
    }
    let piece = "";
    for (const event of final === null ? this.#reader.lacking(now) : this.#reader.rest(final)) {
      piece += event;
      if (piece.length < PIECE) continue;
      this.#write(piece);
      piece = "";
      if (this.#blocked || this.#over) return;
    }
    if (piece !== "") this.#write(piece);
    if (final !== null) this.#end();
  }

  #end(): void {
    if (this.#over) return;
    if (!this.#live) this.#begin();
    this.#release();
    if (this.#final !== null) tellRead(this.#parts.tasks, this.#reply, [this.#final]);
    this.#reply.raw.end();
  }

  #write(text: string): void {
    if (!this.#live) this.#begin();
    const { raw } = this.#reply;
    if (mayHold(this.#reply, text.length)) this.#blocked = !raw.write(text);
    else raw.destroy();
  }

  #begin(): void {
    this.#live = true;
    const gpuId = this.#final?.gpuId ?? this.#following?.where()?.gpuId ?? null;
    if (gpuId !== null) this.#reply.header("x-gpu-id", String(gpuId));
    beginLiveAnswer(this.#reply, EVENT_STREAM, "with events");
    this.#begun.resolve();
  }

  #fail(failure: AltLasError): void {
    if (this.#over) return;
    this.#release();
    this.#options.leave();
    const error = failureInWords(failure) as AltLasError;
    if (!this.#live) return this.#begun.reject(error);
    const { error: fields } = openAiFailure(error, refusalFor(this.#reply.request, error, this.#options.caller));
    // Clients look for what has happened in one of two places. The number is the last one's, so that a reader can come back with it.
    const data = { ...fields, type: "error", sequence_number: Math.max(0, this.#reader.last), error: fields };
    this.#reply.raw.end(`event: error\ndata: ${jsonLine(data)}\n\n`);
  }

  #left(): void {
    if (this.#over) return;
    this.#release();
    if (this.#final === null) this.#options.leave();
    if (!this.#live) this.#reply.hijack();
    this.#begun.resolve();
  }

  #release(): void {
    this.#over = true;
    this.#stop();
    this.#following?.stop();
  }
}
