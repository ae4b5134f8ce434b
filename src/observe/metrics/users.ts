/** Usage of users. A server may have thousands of users: those who use it most have series of their own, the rest has one. */
import type { TaskUse } from "../../task-use.ts";
import type { Instruments, Reading } from "./instruments.ts";
import { OTHERS } from "./label-values.ts";

/** Users with series of their own. */
const MOST = 50;

/** Usage of one user, in all attempts of the tasks that ended. */
interface Used {
  tasks: number;
  prompt: number;
  completion: number;
  gpuSeconds: number;
  /** null: nobody has measured any. */
  joules: number | null;
}

/**
 * A series must never fall, or Prometheus takes it for a restart. So a user who comes among the first brings nothing along of what was
 * counted with the rest, and one who leaves them takes its own away.
 */
export class Users {
  readonly #readings: readonly Reading[];
  readonly #show: (user: string, used: Used) => void;
  /** All that each has used, which says who is first. */
  readonly #tokensOf = new Map<string, number>();
  /** Usage of the users among the first, since they are among them. */
  readonly #first = new Map<string, Used>();
  readonly #rest: Used = unused();

  constructor(instruments: Instruments) {
    const who = `of tasks that ended: of the ${MOST} users with the most tokens, and of the others together.`;
    const tasks = instruments.total("user_tasks_total", `Number ${who}`, ["user"]);
    const tokens = instruments.total("user_tokens_total", `Tokens ${who}`, ["user", "kind"]);
    const seconds = instruments.total("user_gpu_seconds_total", `Shares of their GPUs' time ${who}`, ["user"]);
    const energy = instruments.total("user_energy_joules_total", `Shares of their cards' energy ${who}`, ["user"]);
    this.#readings = [tasks, tokens, seconds, energy];
    this.#show = (user, used) => {
      tasks.set(used.tasks, user);
      tokens.set(used.prompt, user, "prompt");
      tokens.set(used.completion, user, "completion");
      seconds.set(used.gpuSeconds, user);
      if (used.joules !== null) energy.set(used.joules, user);
    };
  }

  /** A task of this user has ended. @param use null: it has not run */
  add(user: string, use: Readonly<TaskUse> | null): void {
    const used = this.#usedBy(user);
    used.tasks++;
    if (use === null) return;
    const { promptTokens, completionTokens, gpuSeconds, energyJoules } = use;
    used.prompt += promptTokens ?? 0;
    used.completion += completionTokens;
    used.gpuSeconds += gpuSeconds;
    if (energyJoules !== null) used.joules = (used.joules ?? 0) + energyJoules;
    this.#tokensOf.set(user, (this.#tokensOf.get(user) ?? 0) + (promptTokens ?? 0) + completionTokens);
  }

  /** For a scrape. */
  read(): void {
    this.#rank();
    for (const reading of this.#readings) reading.clear();
    for (const [user, used] of this.#first) this.#show(user, used);
    this.#show(OTHERS, this.#rest);
  }

  #usedBy(user: string): Used {
    const known = this.#first.get(user);
    if (known !== undefined) return known;
    if (this.#first.size >= MOST) return this.#rest;
    const used = unused();
    this.#first.set(user, used);
    return used;
  }

  #rank(): void {
    if (this.#tokensOf.size <= MOST) return;
    const ranked = [...this.#tokensOf].toSorted(([, one], [, other]) => other - one);
    const first = new Set(ranked.slice(0, MOST).map(([user]) => user));
    for (const user of this.#first.keys()) if (!first.has(user)) this.#first.delete(user);
    for (const user of first) this.#usedBy(user);
  }
}

function unused(): Used {
  return { tasks: 0, prompt: 0, completion: 0, gpuSeconds: 0, joules: null };
}
