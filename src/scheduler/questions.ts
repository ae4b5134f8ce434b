/** Questions that the scheduler may be asked at any time. They change nothing. */
import type { AltLasError } from "../errors.ts";
import type { Task } from "../task.ts";
import { draining } from "./admission.ts";
import { type CallerFacts, callerFacts } from "./caller-facts.ts";
import { type DryRun, dryRun, type DryRunParts } from "./dry-run.ts";
import type { TeamFacts } from "./teams.ts";
import { type Wait, whyWaiting } from "./why-waiting.ts";

export interface QuestionsParts extends DryRunParts {
  /** Whether the server stops. */
  readonly isDraining: () => boolean;
}

export class Questions {
  readonly #parts: QuestionsParts;

  constructor(parts: QuestionsParts) {
    this.#parts = parts;
  }

  /** Why a task waits; null: it does not. */
  whyWaiting(task: Task): Wait | null {
    return task.status === "queued" ? whyWaiting(task, this.#parts) : null;
  }

  /** The placement or wait that `Scheduler.submit` would give one new task now; see `dryRun`. @throws {AltLasError} what it would throw */
  dryRun(task: Task): DryRun {
    if (this.#parts.isDraining()) throw draining();
    return dryRun(task, this.#parts);
  }

  /** Why a new task would be refused whatever else waits; null: it would not. */
  refusalOf(task: Task): AltLasError | null {
    return this.#parts.admission.refusalOf(task);
  }

  /** @param user the only one that is wanted, beside all teams; null: all that are known */
  callers(user: string | null): { readonly callers: readonly CallerFacts[]; readonly teams: readonly TeamFacts[] } {
    const { callers, admission } = this.#parts;
    return { callers: callerFacts(callers, admission, user), teams: callers.teams.facts() };
  }
}
