/** A thread that looks at schemas, seen from outside. Schemas are strangers', and may take for ever. */
import type { Worker } from "node:worker_threads";
import { startThread } from "../common/threads.ts";
import { startedModule } from "../common/started-module.ts";
import { messageOf } from "../errors.ts";
import type { Question, Ready, Reply } from "./messages.ts";

export interface ThreadLimits {
  /** Milliseconds that one question may take. */
  readonly time: number;
  /** MiB of heap. */
  readonly heap: number;
  /** MiB of stack, 4 at most. */
  readonly stack: number;
}

/** Many times what the largest schema takes that can be compiled: its work is counted, and a machine may be slow. */
const LIMITS: ThreadLimits = { time: 5000, heap: 256, stack: 3 };

/** Why a question has no answer. */
export class TooMuch extends Error {
  override readonly name = "TooMuch";
}

interface Asked<Asks, Answers> {
  readonly question: Asks;
  readonly resolve: (reply: Answers) => void;
  readonly reject: (error: Error) => void;
}

/**
 * 1. The thread is started when it is first needed, and holds no process back that wants to end.
 * 2. It has one question at a time, so that the one that takes too long is known. Then it is ended, and the next one starts a new thread.
 * 3. Those who ask take turns: somebody with a hundred questions lets others in after each.
 */
export class SchemaThread<Asks = Question, Answers extends { readonly kind: string } = Reply> {
  readonly #program: URL;
  readonly #limits: ThreadLimits;
  #worker: Worker | null = null;
  #isReady = false;
  /** The question that the thread looks at now. */
  #asked: Asked<Asks, Answers> | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** By who asks, whose turn is next first; none is empty. */
  readonly #waiting = new Map<string, Asked<Asks, Answers>[]>();

  /** @param program says `ready` when it takes questions */
  constructor(limits: Partial<ThreadLimits> = {}, program = startedModule("./thread", import.meta.url)) {
    this.#limits = { ...LIMITS, ...limits };
    this.#program = program;
  }

  /**
   * @param by who asks
   * @throws {TooMuch} it took too long, or too much memory @throws {Error} the thread has failed
   */
  ask(question: Asks, by: string): Promise<Answers> {
    return new Promise((resolve, reject) => {
      const asked = { question, resolve, reject };
      const others = this.#waiting.get(by);
      if (others === undefined) this.#waiting.set(by, [asked]);
      else others.push(asked);
      this.#next();
    });
  }

  #next(): void {
    if (this.#asked !== null) return;
    const [turn] = this.#waiting;
    if (turn === undefined) return void this.#worker?.unref();
    const [by, [asked, ...others]] = turn;
    this.#waiting.delete(by);
    if (others.length > 0) this.#waiting.set(by, others);
    this.#asked = asked!;
    try {
      this.#worker ??= this.#start();
    } catch (error) {
      // A plain error is logged, and hidden from clients: what is said of threads is for operators.
      return this.#refuseAll(new Error(messageOf(error), { cause: error }));
    }
    this.#worker.ref();
    if (this.#isReady) this.#give(asked!);
  }

  #give({ question }: Asked<Asks, Answers>): void {
    this.#worker!.postMessage(question, []);
    const { time } = this.#limits;
    this.#timer = setTimeout(() => this.#lose(new TooMuch(`it takes more than ${time / 1000} s`)), time);
  }

  #start(): Worker {
    const resourceLimits = { maxOldGenerationSizeMb: this.#limits.heap, stackSizeMb: this.#limits.stack };
    const worker = startThread(this.#program, { resourceLimits });
    worker.on("message", (reply: Answers | Ready) => {
      if (worker === this.#worker) this.#heard(reply);
    });
    worker.on("error", (error: NodeJS.ErrnoException) => {
      if (worker === this.#worker) this.#lose(this.#reasonOf(error));
    });
    worker.on("exit", (code) => {
      if (worker === this.#worker) this.#lose(new Error(`The thread that looks at schemas ended: exit code ${code}.`));
    });
    return worker;
  }

  #reasonOf(error: NodeJS.ErrnoException): Error {
    if (error.code === "ERR_WORKER_OUT_OF_MEMORY")
      return new TooMuch(`it takes more than ${this.#limits.heap} MiB of memory`);
    return new Error(`The thread that looks at schemas failed: ${messageOf(error)}`, { cause: error });
  }

  #heard(reply: Answers | Ready): void {
    if (isReady(reply)) {
      this.#isReady = true;
      if (this.#asked !== null) this.#give(this.#asked);
      return;
    }
    this.#settle()?.resolve(reply);
    this.#next();
  }

  /** The thread is of no use any more. */
  #lose(error: Error): void {
    void this.#worker?.terminate();
    this.#worker = null;
    this.#isReady = false;
    this.#settle()?.reject(error);
    this.#next();
  }

  /** No thread starts: another try for each that waits would only take longer. The next question is the next try. */
  #refuseAll(error: Error): void {
    const waiting = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    this.#settle()?.reject(error);
    for (const { reject } of waiting) reject(error);
  }

  #settle(): Asked<Asks, Answers> | null {
    clearTimeout(this.#timer);
    const asked = this.#asked;
    this.#asked = null;
    return asked;
  }
}

function isReady(reply: { readonly kind: string }): reply is Ready {
  return reply.kind === "ready";
}
