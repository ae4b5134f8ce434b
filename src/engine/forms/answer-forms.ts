/**
 * The grammars of the answers of this process, made in a thread of their own: one may take a second, in which the process could decode no
 * step for anybody, and would be taken for dead.
 */
import { Kept } from "../../common/kept.ts";
import { startedModule } from "../../common/started-module.ts";
import { SchemaThread, TooMuch } from "../../forms/schema-thread.ts";
import type { AnswerFormat } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import type { Form, FormQuestion, FormReply, Said, SayQuestion } from "./questions.ts";

/** Milliseconds for one: many tools have many schemas. */
const LONGEST = 10_000;

/** MiB, all that a thread has: what has passed in the server, with less, must not be too deep here. */
const STACK = 4;

/** Grammars that are kept: programs ask for the same few forms again and again. */
const KEPT = 16;

export class AnswerForms {
  readonly #thread: SchemaThread<FormQuestion, FormReply>;
  /** By the form as JSON; also those that are being made, and the refused. */
  readonly #kept = new Kept<Promise<FormReply>>(KEPT);
  /** Those of which a grammar says all. */
  readonly #exact = new WeakSet<AnswerFormat>();

  constructor(
    thread = new SchemaThread<FormQuestion, FormReply>(
      { time: LONGEST, stack: STACK },
      startedModule("./thread", import.meta.url),
    ),
  ) {
    this.#thread = thread;
  }

  /**
   * The grammar of an answer as llama.cpp reads it.
   * @param by who asks; users take turns
   * @returns null: the signal has aborted first
   * @throws {EngineFailure} `invalid_input`: a schema cannot be compiled, and why
   */
  async gbnfOf(form: Form, signal: AbortSignal, by = ""): Promise<string | null> {
    const reply = await unlessAborted(this.#replyFor(form, by), signal);
    if (reply === null) return null;
    if (reply.kind === "gbnf") {
      if (reply.isExact && form.format !== null) this.#exact.add(form.format);
      return reply.gbnf;
    }
    throw refusal(reply);
  }

  /**
   * A random text of a form, which the simulated engine says.
   * @param question `most`: characters that there is room for @param by as of `gbnfOf`
   * @returns null: the signal has aborted first @throws {EngineFailure} as `gbnfOf`
   */
  async said(question: Omit<SayQuestion, "kind">, signal: AbortSignal, by = ""): Promise<Said | null> {
    const { what } = question;
    const reply = await unlessAborted(this.#ask({ kind: "say", ...question }, by), signal);
    if (reply === null) return null;
    if (reply.kind === "said") {
      if (reply.isExact && "format" in what) this.#exact.add(what.format);
      return reply.said;
    }
    throw refusal(reply);
  }

  /** Whether a whole text that follows the grammar of a form is of that form, as far as that grammar has been made here, for this very object. */
  isExact(format: AnswerFormat): boolean {
    return format.kind === "json" || this.#exact.has(format);
  }

  #replyFor(form: Form, by: string): Promise<FormReply> {
    const key = JSON.stringify(form);
    const reply = this.#kept.get(key, () => this.#ask({ kind: "gbnf", form }, by));
    // A failure of the thread itself is tried again.
    reply.catch(() => this.#kept.forget(key, reply));
    return reply;
  }

  async #ask(question: FormQuestion, by: string): Promise<FormReply> {
    try {
      return await this.#thread.ask(question, by);
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error;
      return { kind: "refused", why: `The answer's form cannot be compiled: ${error.message}.` };
    }
  }
}

/** One for the process. */
export const answerForms = new AnswerForms();

function refusal(reply: FormReply): Error {
  if (reply.kind === "refused") return new EngineFailure("invalid_input", reply.why);
  return new Error(`The thread that makes grammars answered with ${reply.kind}.`);
}

/** null: the signal has aborted first. */
function unlessAborted<Value>(coming: Promise<Value>, signal: AbortSignal): Promise<Value | null> {
  return new Promise((resolve, reject) => {
    const leave = (): void => resolve(null);
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
    coming.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}
