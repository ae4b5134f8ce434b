import type { Worker } from "node:worker_threads";
import { startThread } from "../../common/threads.ts";
import { InFlight } from "../../common/in-flight.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import type { Exchange, Failure, Kind, News, Reply, Request, Value } from "./messages.ts";
import type { Row } from "./columns.ts";

/** The answer to a request. */
export interface Answer<K extends Kind = Kind> {
  readonly rows: Row[];
  readonly value: Exchange[K]["value"];
}

/** Takes rows as they arrive. */
export interface RowTaker {
  add(rows: readonly Row[]): void;
  /** The rows so far are void. */
  clear(): void;
}

interface Question {
  readonly taker: RowTaker;
  readonly resolve: (value: Value) => void;
  readonly reject: (error: Error) => void;
}

/** Events that the thread tells by itself. */
export interface StorageEvents {
  /** Called once, when the thread ends, whether it was asked to or not. */
  readonly ended: (error: AltLasError) => void;
  readonly news: (news: News) => void;
}

/** A failed transaction that may succeed without one of its rows. */
export class RowError extends AltLasError {}

/** The thread that holds the database, seen from outside. */
export class StorageThread {
  /** Resolves when the thread is gone. */
  readonly exited: Promise<void>;
  readonly #worker: Worker;
  readonly #events: StorageEvents;
  /** Why no request is answered any more. */
  #ended: AltLasError | undefined;
  /** Asked, not answered. */
  readonly #questions = new InFlight<number, Question>();
  #asked = 0;

  /** @throws {AltLasError} `overloaded`: it cannot be started */
  constructor(program: URL, events: StorageEvents) {
    this.#events = events;
    const worker = startThread(program);
    this.#worker = worker;
    const exit = Promise.withResolvers<void>();
    this.exited = exit.promise;
    worker.on("message", (reply: Reply) => this.#onReply(reply));
    worker.on("error", (error) => this.#end(messageOf(error)));
    worker.on("messageerror", (error) => this.#end(messageOf(error)));
    worker.on("exit", (code) => {
      this.#end(`exit code ${code}`);
      exit.resolve();
    });
  }

  /**
   * @param handedOver the buffers of the request to hand over instead of copying
   * @throws {AltLasError} when it fails, or the thread has ended; a `RowError` when a row is to blame
   */
  async ask<K extends Kind>(
    kind: K,
    request: Exchange[K]["request"],
    handedOver: readonly ArrayBuffer[] = [],
  ): Promise<Answer<K>> {
    const rows: Row[] = [];
    const taker = {
      add: (more: readonly Row[]) => rows.push(...more),
      clear: () => void rows.splice(0),
    };
    return { rows, value: await this.read(kind, request, taker, handedOver) };
  }

  /** As `ask`, with somebody who takes the rows. */
  async read<K extends Kind>(
    kind: K,
    request: Exchange[K]["request"],
    taker: RowTaker,
    handedOver: readonly ArrayBuffer[] = [],
  ): Promise<Exchange[K]["value"]> {
    if (this.#ended !== undefined) throw this.#ended;
    const number = ++this.#asked;
    const message = { kind, number, ...request } as Request;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#worker.postMessage(message, handedOver);
    return new Promise<Value>((resolve, reject) => {
      this.#questions.set(number, { taker, resolve, reject });
    });
  }

  #onReply(reply: Reply): void {
    if (!("number" in reply)) return this.#events.news(reply);
    const question = this.#questions.get(reply.number);
    if (question === undefined) return;
    switch (reply.kind) {
      case "rows":
        question.taker.add(reply.rows);
        return;
      case "void":
        question.taker.clear();
        return;
      case "done":
        this.#questions.delete(reply.number);
        question.resolve(reply.value);
        return;
      case "failed":
        this.#questions.delete(reply.number);
        question.reject(errorOf(reply.failure));
    }
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = new AltLasError("store_unavailable", `the storage thread ended: ${reason}`);
    this.#events.ended(this.#ended);
    for (const question of this.#questions.values()) question.reject(this.#ended);
    this.#questions.clear();
  }
}

function errorOf({ code, sentence, ofRow }: Failure): AltLasError {
  return ofRow ? new RowError(code, sentence) : new AltLasError(code, sentence);
}
