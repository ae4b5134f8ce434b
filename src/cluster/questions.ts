/** Questions to agents whose answers the server waits for. Each is answered: by its agent, or with null when that never will. */
import type { Machine } from "./machine.ts";
import type { AgentState, Command } from "./messages.ts";

interface Question {
  readonly machine: Machine;
  readonly answered: (tokens: number | null) => void;
}

export class Questions {
  readonly #open = new Map<number, Question>();
  #next: number;

  /** @param first number of the first one: higher than those of servers before, whose answers may yet come */
  constructor(first: number) {
    this.#next = first;
  }

  ask(machine: Machine, commandOf: (question: number) => Command): Promise<number | null> {
    if (machine.whyGone !== null) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<number | null>();
    const question = this.#next++;
    this.#open.set(question, { machine, answered: resolve });
    machine.give(commandOf(question));
    return promise;
  }

  answered(machine: Machine, question: number, tokens: number | null): void {
    if (this.#open.get(question)?.machine === machine) this.#end(question, tokens);
  }

  /** The answers that a machine has told before its whole state are here, or lost. */
  reconcile(machine: Machine, { questions }: AgentState): void {
    if (questions === undefined) return;
    const there = new Set(questions);
    for (const question of this.#of(machine)) {
      const isOnItsWay = machine.isOnItsWay((command) => "question" in command && command.question === question);
      if (!there.has(question) && !isOnItsWay) this.#end(question, null);
    }
  }

  /** @param machine that is gone; absent: nobody waits any longer */
  drop(machine?: Machine): void {
    for (const question of this.#of(machine)) this.#end(question, null);
  }

  #of(machine?: Machine): readonly number[] {
    const all = [...this.#open].filter(([, asked]) => machine === undefined || asked.machine === machine);
    return all.map(([question]) => question);
  }

  #end(question: number, tokens: number | null): void {
    const asked = this.#open.get(question);
    this.#open.delete(question);
    asked?.answered(tokens);
  }
}
