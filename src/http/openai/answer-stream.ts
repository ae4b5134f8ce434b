/** A streamed answer of one or several choices to one reader. */
import type { FastifyReply } from "fastify";
import { AltLasError } from "../../errors.ts";
import { after, type Delta, deltasOf, lengthOf, wholeCharacters } from "../../output.ts";
import { attemptNumber, isFinal } from "../../task.ts";
import type { Following, Listener, TaskSnapshot } from "../../tasks/task-api.ts";
import { mayHold } from "../answers.ts";
import { probeWhenHalfClosed } from "../disconnects.ts";
import { beginLiveAnswer } from "../live-answer.ts";
import type { Pings } from "../pings.ts";
import type { ServerParts } from "../server-parts.ts";
import { tellRead } from "../reads.ts";
import { refusalFor } from "../reader-language.ts";
import { failureOf, goneTask } from "../task-failure.ts";
import { type Call, type Done, modelOf } from "./calls.ts";
import type { AnswerWriter, StreamKind } from "./stream-kind.ts";

/** How far the reader is with one choice. */
class Choice implements Listener {
  readonly index: number;
  readonly #stream: AnswerStream;
  following: Following | null = null;
  /** 0: the reader has heard of none. */
  attempt = 0;
  /** The position in that attempt's output: see output.ts. */
  offset = 0;
  begun = false;
  done = false;
  /** It has ended; the reader may not know yet. */
  final: TaskSnapshot | null = null;

  constructor(stream: AnswerStream, index: number) {
    this.#stream = stream;
    this.index = index;
  }

  placed(attempt: number, gpuId: number): void {
    this.#stream.placed(this, attempt, gpuId);
  }

  delta(delta: Delta, before: number): void {
    this.#stream.delta(this, delta, before);
  }

  ended(task: TaskSnapshot): void {
    this.#stream.ended(this, task);
  }

  closed(): void {
    this.#stream.closed();
  }
}

/**
 * Nothing is buffered here for a reader that is slow, as in event-stream.ts: while the connection takes no more, only the position is kept.
 *
 * 1. The answer begins with its first words, or the first comment while it waits: what fails before has a status of its own.
 * 2. A second attempt may give other words than the first, so a reader that has some of those is told that the answer has failed.
 * 3. It ends when all choices have, or with the first that fails; the others are canceled then.
 */
export class AnswerStream {
  readonly #reply: FastifyReply;
  readonly #call: Call;
  readonly #kind: StreamKind;
  readonly #choices: readonly Choice[];
  readonly #begun = Promise.withResolvers<void>();
  #writer: AnswerWriter | null = null;
  #gpuId: number | null = null;
  #live = false;
  #blocked = false;
  #over = false;
  #stop = (): void => {};
  #tellRead: (ended: readonly TaskSnapshot[]) => void = () => {};

  constructor(reply: FastifyReply, call: Call, kind: StreamKind) {
    this.#reply = reply;
    this.#call = call;
    this.#kind = kind;
    this.#choices = call.ids.map((_id, index) => new Choice(this, index));
  }

  /**
   * Sends what comes; resolves when the answer has begun, or its reader has left.
   * @throws {AltLasError} it has failed before
   */
  async start({ tasks }: Pick<ServerParts, "tasks">, pings: Pings): Promise<void> {
    const { raw } = this.#reply;
    this.#tellRead = (ended) => tellRead(tasks, this.#reply, ended);
    if (raw.destroyed) return this.#left();
    // The caller that starts it hears of a failure at the end of this, and not before.
    this.#begun.promise.catch(() => {});
    raw.on("drain", () => this.#drained());
    raw.once("close", () => this.#left());
    const stopPings = pings.add(this);
    const stopProbes = probeWhenHalfClosed(this.#reply, () => this.ping());
    this.#stop = () => {
      stopPings();
      stopProbes();
    };
    try {
      for (const choice of this.#choices) {
        choice.following = tasks.follow(this.#call.ids[choice.index]!, choice);
      }
    } catch (error) {
      this.#fail(error as Error);
    }
    // Before the first wait: what is said of a choice must find out to which attempt the reader's words belong.
    for (const choice of this.#choices) if (!this.#over) this.#catchUp(choice);
    for (const choice of this.#choices) {
      if (choice.following === null && !this.#over) await this.#tellEnded(tasks, choice);
    }
    return this.#begun.promise;
  }

  ping(): void {
    if (!this.#blocked && !this.#over) this.#write(this.#kind.ping);
  }

  placed(choice: Choice, attempt: number, gpuId: number): void {
    if (this.#over || !this.#isSame(choice, attempt)) return;
    this.#gpuId ??= gpuId;
    if (!this.#blocked) this.#catchUp(choice);
  }

  delta(choice: Choice, delta: Delta, before: number): void {
    if (this.#blocked || this.#over) return;
    const { offset, following } = choice;
    // Of a reader that is up to date the whole output is not touched, which may be long.
    if (before === offset) this.#tell(choice, wholeCharacters([delta]));
    else if (before < offset) this.#tell(choice, wholeCharacters(after([delta], offset - before)));
    else this.#tell(choice, wholeCharacters(after(following?.now()?.output ?? [], offset)));
  }

  ended(choice: Choice, task: TaskSnapshot): void {
    choice.final = task;
    if (!this.#blocked && !this.#over) this.#finish(choice, task);
  }

  closed(): void {
    this.#fail(new AltLasError("draining", "The server is stopping. Try again later.", { retryAfter: 5 }));
  }

  /** Of a task that nobody can follow any more. */
  async #tellEnded(tasks: ServerParts["tasks"], choice: Choice): Promise<void> {
    const id = this.#call.ids[choice.index]!;
    try {
      const task = await tasks.get(id);
      if (task === null) throw goneTask(id);
      this.ended(choice, task);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Whether the reader's words are those of this attempt; if not, the answer fails. */
  #isSame(choice: Choice, attempt: number): boolean {
    if (choice.attempt === attempt) return true;
    if (choice.offset > 0) {
      const id = this.#call.ids[choice.index]!;
      const sentence = `Task ${id} had to begin again after some of its answer was sent. Ask again for a whole one.`;
      this.#fail(new AltLasError("gpu_lost", sentence));
      return false;
    }
    choice.attempt = attempt;
    return true;
  }

  #drained(): void {
    this.#blocked = false;
    for (const choice of this.#choices) {
      if (this.#over || this.#blocked) return;
      if (!choice.done) this.#catchUp(choice);
    }
  }

  #catchUp(choice: Choice): void {
    if (choice.final !== null) return this.#finish(choice, choice.final);
    const now = choice.following?.now() ?? null;
    if (now === null || this.#blocked || !this.#isSame(choice, now.attempt)) return;
    this.#gpuId ??= now.gpuId;
    this.#tell(choice, wholeCharacters(after(now.output, choice.offset)));
  }

  #tell(choice: Choice, deltas: readonly Delta[]): void {
    const pieces = this.#piecesOf(choice, deltas);
    if (pieces !== "") this.#write(pieces);
  }

  #finish(choice: Choice, task: TaskSnapshot): void {
    const failure = failureOf(task, this.#call.caller);
    if (failure !== null) return this.#fail(failure);
    if (!this.#isSame(choice, attemptNumber(task))) return;
    this.#gpuId ??= task.gpuId;
    const ended = task as Done;
    const rest = this.#piecesOf(choice, after(deltasOf(ended.result), choice.offset));
    const first = this.#firstOf(choice, null);
    choice.done = true;
    const last = this.#writerFor(choice).last(choice.index, ended);
    if (!this.#choices.every(({ done }) => done)) return this.#write(first + rest + last);
    const results = this.#choices.map(({ final }) => final!.result!);
    this.#release();
    this.#tellRead(this.#choices.map(({ final }) => final!));
    this.#end(first + rest + last + this.#writerFor(choice).end(results));
  }

  #piecesOf(choice: Choice, deltas: readonly Delta[]): string {
    let pieces = "";
    for (const delta of deltas) {
      if (lengthOf(delta) === 0) continue;
      const position = choice.offset;
      choice.offset += lengthOf(delta);
      pieces += this.#firstOf(choice, delta) + this.#writerFor(choice).piece(choice.index, delta, position);
    }
    return pieces;
  }

  #firstOf(choice: Choice, next: Delta | null): string {
    if (choice.begun) return "";
    choice.begun = true;
    return this.#writerFor(choice).first(choice.index, next);
  }

  /** The first choice that says something knows which model it is. */
  #writerFor({ following, final }: Choice): AnswerWriter {
    this.#writer ??= this.#kind.begin({
      taskId: this.#call.ids[0]!,
      createdAt: final?.createdAt ?? following?.createdAt ?? 0,
      model: final === null ? (following?.where()?.model ?? "") : modelOf(final),
    });
    return this.#writer;
  }

  #write(text: string): void {
    if (!this.#live) this.#begin();
    const { raw } = this.#reply;
    if (mayHold(this.#reply, text.length)) this.#blocked = !raw.write(text);
    else raw.destroy();
  }

  #end(text: string): void {
    if (!this.#live) this.#begin();
    const { raw } = this.#reply;
    if (mayHold(this.#reply, text.length)) raw.end(text);
    else raw.destroy();
  }

  #begin(): void {
    this.#live = true;
    if (this.#gpuId !== null) this.#reply.header("x-gpu-id", String(this.#gpuId));
    beginLiveAnswer(this.#reply, this.#kind.contentType, "with events");
    this.#begun.resolve();
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#release();
    this.#call.leave();
    if (!this.#live) return this.#begun.reject(error);
    const known = error instanceof AltLasError ? error : new AltLasError("internal_error", "Internal error.");
    this.#reply.raw.end(this.#kind.failure(known, refusalFor(this.#reply.request, known, this.#call.caller)));
  }

  #left(): void {
    if (this.#over) return;
    this.#release();
    if (this.#choices.some(({ final }) => final === null || !isFinal(final.status))) this.#call.leave();
    if (!this.#live) this.#reply.hijack();
    this.#begun.resolve();
  }

  #release(): void {
    this.#over = true;
    this.#stop();
    for (const { following } of this.#choices) following?.stop();
  }
}
