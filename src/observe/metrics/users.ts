/** What users have used. A server may have thousands of users: those who use it most have series of their own, the rest has one. */
import { type Instruments, type Reading } from "./instruments.ts";
import { OTHERS } from "./label-values.ts";

/** Users with series of their own. */
const MOST = 50;

const KINDS = ["prompt", "completion"] as const;
type Kind = (typeof KINDS)[number];

interface Use {
  tasks: number;
  prompt: number;
  completion: number;
}

/**
 * A series must never fall, or Prometheus takes it for a restart. So a user who comes among the first brings nothing along of what was
 * counted with the rest, and one who leaves them takes its own away.
 */
export class Users {
  readonly #tasks: Reading;
  readonly #tokens: Reading;
  /** All that each has used, which says who is first. */
  readonly #tokensOf = new Map<string, number>();
  /** What the users among the first have used since they are. */
  readonly #first = new Map<string, Use>();
  readonly #rest: Use = unused();

  constructor(instruments: Instruments) {
    const who = `Of the ${MOST} users with the most tokens, and of the others together.`;
    this.#tasks = instruments.total("user_tasks_total", `Tasks that have ended. ${who}`, ["user"]);
    this.#tokens = instruments.total("user_tokens_total", `Tokens of runs that ended. ${who}`, ["user", "kind"]);
  }

  tasks(user: string, count: number): void {
    this.#useOf(user).tasks += count;
  }

  tokens(user: string, kind: Kind, count: number): void {
    this.#useOf(user)[kind] += count;
    this.#tokensOf.set(user, (this.#tokensOf.get(user) ?? 0) + count);
  }

  /** For a scrape. */
  read(): void {
    this.#rank();
    this.#tasks.clear();
    this.#tokens.clear();
    for (const [user, use] of [...this.#first, [OTHERS, this.#rest] as const]) {
      this.#tasks.set(use.tasks, user);
      for (const kind of KINDS) this.#tokens.set(use[kind], user, kind);
    }
  }

  #useOf(user: string): Use {
    const known = this.#first.get(user);
    if (known !== undefined) return known;
    if (this.#first.size >= MOST) return this.#rest;
    const use = unused();
    this.#first.set(user, use);
    return use;
  }

  #rank(): void {
    if (this.#tokensOf.size <= MOST) return;
    const ranked = [...this.#tokensOf].toSorted(([, one], [, other]) => other - one);
    const first = new Set(ranked.slice(0, MOST).map(([user]) => user));
    for (const user of this.#first.keys()) if (!first.has(user)) this.#first.delete(user);
    for (const user of first) this.#useOf(user);
  }
}

function unused(): Use {
  return { tasks: 0, prompt: 0, completion: 0 };
}
