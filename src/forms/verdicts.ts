/** Whether schemas can be compiled, as far as the server has to know: what is compiled is made again where it is used. */
import { createHash } from "node:crypto";
import type { Inexact } from "../grammar/expansion.ts";
import type { Note } from "../grammar/notes.ts";
import type { Verdict } from "./messages.ts";
import { SchemaThread, TooMuch } from "./schema-thread.ts";

/** Verdicts that are kept. Programs send the same few schemas again and again. */
const KEPT = 2000;
/** Places of a schema that a verdict names. */
const MOST_PLACES = 4;
/** Characters of a place, and of what is said of it. */
const LONGEST = 300;

export class Verdicts {
  readonly #thread: SchemaThread;
  /** By a hash of the schema; the least recently used first. Each takes some hundred bytes, or `MOST_PLACES` times `LONGEST` four times. */
  readonly #known = new Map<string, Verdict>();
  /** Those that are being made. */
  readonly #coming = new Map<string, Promise<Verdict>>();

  constructor(thread = new SchemaThread()) {
    this.#thread = thread;
  }

  /**
   * @param schema as JSON @param user who asks; users take turns
   * @throws {Error} the thread has failed
   */
  of(schema: string, user: string): Verdict | Promise<Verdict> {
    const key = createHash("sha256").update(schema).digest("base64");
    const known = this.#known.get(key);
    if (known === undefined) return this.#coming.get(key) ?? this.#ask(schema, key, user);
    this.#known.delete(key);
    this.#known.set(key, known);
    return known;
  }

  #ask(schema: string, key: string, user: string): Promise<Verdict> {
    const coming = this.#verdict(schema, user).then((verdict) => {
      this.#known.set(key, verdict);
      const [oldest] = this.#known.keys();
      if (this.#known.size > KEPT) this.#known.delete(oldest!);
      return verdict;
    });
    this.#coming.set(key, coming);
    const forget = (): void => void this.#coming.delete(key);
    coming.then(forget, forget);
    return coming;
  }

  async #verdict(schema: string, user: string): Promise<Verdict> {
    try {
      const reply = await this.#thread.ask({ kind: "compile", schema }, user);
      if (reply.kind !== "verdict") throw new Error(`The thread that looks at schemas answered with ${reply.kind}.`);
      return bounded(reply.verdict);
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error;
      return { fits: false, pointer: "", why: `to compile ${error.message}.` };
    }
  }
}

/** Of places and words that a stranger has chosen, no more than a person reads. */
function bounded(verdict: Verdict): Verdict {
  if (!verdict.fits) return { fits: false, pointer: short(verdict.pointer), why: short(verdict.why) };
  return { fits: true, inexact: places(verdict.inexact), notes: places(verdict.notes) };
}

function places(all: readonly (Inexact | Note)[]): readonly Note[] {
  return all.slice(0, MOST_PLACES).map(({ pointer, why }) => ({ pointer: short(pointer), why: short(why) }));
}

function short(text: string): string {
  const whole = text.toWellFormed();
  return whole.length <= LONGEST ? whole : `${whole.slice(0, LONGEST - 1).toWellFormed()}…`;
}
