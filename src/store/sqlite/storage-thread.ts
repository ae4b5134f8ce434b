import { Worker } from "node:worker_threads";
import { AltLasError, messageOf } from "../../errors.ts";
import type { Exchange, Failure, Kind, Reply, Request, Value } from "./messages.ts";
import type { Missing } from "./presence.ts";
import type { Row } from "./columns.ts";
import type { UpgradeNews } from "./upgrade.ts";

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
  /** An older database is being brought to the present schema. */
  readonly upgrading: (news: UpgradeNews) => void;
  /** A copy has ended. @param schema the number of its last migration; null: it failed, for the reason given */
  readonly copied: (schema: number | null, reason: string) => void;
  /** Called once: a file of the database is missing. @param rescue whether its content could be saved */
  readonly lost: (missing: Missing, rescue: string) => void;
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
  /** Asked, not answered, in the order they were sent. */
  readonly #questions: Question[] = [];

  constructor(program: URL, events: StorageEvents) {
    this.#events = events;
    const worker = new Worker(program);
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
    const message = { kind, ...request } as Request;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#worker.postMessage(message, handedOver);
    return new Promise<Value>((resolve, reject) => this.#questions.push({ taker, resolve, reject }));
  }

  #onReply(reply: Reply): void {
    if (reply.kind === "upgrading") return this.#events.upgrading(reply.news);
    if (reply.kind === "copied") return this.#events.copied(reply.schema, reply.reason);
    if (reply.kind === "lost") return this.#events.lost(reply.missing, reply.rescue);
    const question = this.#questions[0];
    if (question === undefined) return;
    switch (reply.kind) {
      case "rows":
        question.taker.add(reply.rows);
        return;
      case "void":
        question.taker.clear();
        return;
      case "done":
        this.#questions.shift();
        question.resolve(reply.value);
        return;
      case "failed":
        this.#questions.shift();
        question.reject(errorOf(reply.failure));
    }
  }

  #end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = new AltLasError("store_unavailable", `the storage thread ended: ${reason}`);
    this.#events.ended(this.#ended);
    for (const question of this.#questions.splice(0)) question.reject(this.#ended);
  }
}

function errorOf({ code, sentence, ofRow }: Failure): AltLasError {
  return ofRow ? new RowError(code, sentence) : new AltLasError(code, sentence);
}
