/**
 * Tokens and GPU-seconds that users, teams and keys may use in a day and in a month.
 *
 *  1. The cost of ended tasks counts as used: prompt and answer of all attempts, as the rows of usage count it (src/store/usage.ts). At a
 *     start it is read from these rows; from then on it is counted here.
 *  2. The estimate of a task that was accepted and has not ended is reserved. So a crowd of submissions cannot go over a budget together.
 *  3. A submission is accepted when it fits beside what is used and reserved. One task is also accepted when something is left and nothing is
 *     reserved, however much it may need: so the rest of a budget can be used, and no more than one task goes over it.
 *  4. A task counts for the team that its user was in when it submitted it.
 */
import { CalendarPeriod, type Period } from "../common/calendar-period.ts";
import type { Clock } from "../common/clock.ts";
import type { Task } from "../task.ts";
import { type BudgetFacts, type BudgetRules, BUDGETS, type BudgetSizes, type Holder, HOLDERS } from "./budget-kinds.ts";
import { overBudget, type Shortage, tooLargeForBudget, worstOf } from "./budget-words.ts";
import { estimateOf, estimateOfAll } from "./estimates.ts";

/** The user, team and key that a task belongs to. */
export type Owner = Pick<Task, "user" | "team" | "keyName">;

/** Tokens and GPU-seconds that somebody has used by the end of some tasks. */
export interface PastUse extends Owner {
  readonly tokens: number;
  readonly gpuSeconds: number;
}

interface Account {
  readonly of: Holder;
  readonly name: string;
  sizes: BudgetSizes | null;
  /** In the order of `BUDGETS`. */
  readonly used: number[];
  /** Tokens. */
  reserved: number;
}

/** GPU-seconds of a token, until tasks have ended that say more. */
const SECONDS_OF_TOKEN = 0.01;

export class Budgets {
  readonly #clock: Clock;
  #rules: BudgetRules | null;
  #accounts = noAccounts();
  /** The tokens that are reserved for a task. */
  #estimates = new WeakMap<Task, number>();
  #periods: Readonly<Record<Period, CalendarPeriod>>;
  /** Of ended tasks: what a token takes. */
  readonly #pace = { tokens: 0, gpuSeconds: 0 };

  /** @param rules null: nobody has one */
  constructor(rules: BudgetRules | null, clock: Clock) {
    this.#rules = rules;
    this.#clock = clock;
    this.#periods = this.#periodsFrom(clock.now() + clock.ahead);
  }

  /** Whether anybody has one. Use is counted only then. */
  get isOn(): boolean {
    return this.#rules !== null;
  }

  /** All may have others from now on. Nothing is known of what was used before the first. */
  renew(rules: BudgetRules | null): void {
    this.#rules = rules;
    if (rules === null) {
      this.#accounts = noAccounts();
      this.#estimates = new WeakMap();
      return;
    }
    for (const of of HOLDERS)
      for (const account of this.#accounts[of].values()) account.sizes = rules.sizesOf(of, account.name);
  }

  /** Begins to count in the day and the month of a time. @param wall Unix milliseconds, as the wall clock shows them */
  begin(wall: number): void {
    this.#periods = this.#periodsFrom(wall);
  }

  /** Counts what was used before. @param period `month`: before this day */
  count(past: PastUse, period: Period): void {
    for (const account of this.#accountsOf(past)) add(account, past, period === "day");
    this.#learn(past);
  }

  /**
   * @param context tokens that fit into a slot; null: not known
   * @throws {AltLasError} `budget_exceeded`: new tasks of one caller need more than is left; `invalid_input`: more than there will ever be
   */
  refuseOver(tasks: readonly Task[], context: number | null): void {
    if (this.#rules === null) return;
    this.#roll();
    let shortages: Shortage[] | undefined;
    const need = estimateOfAll(tasks, context);
    for (const account of this.#accountsOf(tasks[0]!)) {
      if (account.sizes === null) continue;
      for (let index = 0; index < BUDGETS.length; index++)
        if (this.#isShort(account, index, need, tasks.length))
          (shortages ??= []).push(this.#shortage(account, index, need, tasks.length));
    }
    if (shortages === undefined) return;
    const never = tasks.length === 1 ? undefined : shortages.find(({ need: asked, size }) => asked > size);
    throw never === undefined ? overBudget(worstOf(shortages)) : tooLargeForBudget(never);
  }

  /** Reserves what tasks may use that were accepted, in this run or an earlier one. */
  reserve(tasks: readonly Task[], context: number | null): void {
    if (this.#rules === null) return;
    for (const task of tasks) this.#reserve(task, estimateOf(task, context));
  }

  /** New tasks are refused after all. */
  refuse(tasks: readonly Task[]): void {
    if (this.#rules === null) return;
    for (const task of tasks) this.#release(task);
  }

  /** A task has ended for good: what it has used counts in the place of what was reserved. */
  ended(task: Task): void {
    if (this.#rules === null) return;
    this.#roll();
    this.#release(task);
    const { user, team, keyName, use } = task;
    if (use === null) return;
    const { promptTokens, completionTokens, gpuSeconds } = use;
    this.count({ user, team, keyName, tokens: (promptTokens ?? 0) + completionTokens, gpuSeconds }, "day");
  }

  /** Those of a user, its team and a key; null: all, by their holders. */
  facts(of: Owner | null): readonly BudgetFacts[] {
    if (this.#rules === null) return [];
    this.#roll();
    const accounts = of === null ? this.#all() : this.#accountsOf(of);
    return accounts.flatMap((account) => BUDGETS.flatMap((_, index) => this.#factsOf(account, index) ?? []));
  }

  #all(): Account[] {
    for (const { of, name } of this.#rules!.named) this.#account(of, name);
    return HOLDERS.flatMap((of) => [...this.#accounts[of].values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)));
  }

  #factsOf({ of, name, sizes, used, reserved }: Account, index: number): BudgetFacts | null {
    const given = sizes?.[index] ?? null;
    if (given === null) return null;
    const { unit, period } = BUDGETS[index]!;
    const { size } = given;
    const resetsAt = this.#periods[period].shownEnd;
    return { of, name, unit, period, size, used: used[index]!, reserved: this.#inUnit(index, reserved), resetsAt };
  }

  #isShort({ sizes, used, reserved }: Account, index: number, need: number, count: number): boolean {
    const given = sizes![index]!;
    if (given === null) return false;
    const taken = used[index]!;
    if (taken + this.#inUnit(index, reserved + need) <= given.size) return false;
    return count > 1 || reserved > 0 || taken >= given.size;
  }

  #shortage(account: Account, index: number, need: number, items: number): Shortage {
    const facts = this.#factsOf(account, index)!;
    const left = this.#periods[facts.period].left(this.#clock.now());
    const { setIn } = account.sizes![index]!;
    const seconds = Math.max(1, Math.ceil(left / 1000));
    return { ...facts, setIn, need: this.#inUnit(index, need), items, seconds };
  }

  /** Tokens as the budget counts them. */
  #inUnit(index: number, tokens: number): number {
    if (BUDGETS[index]!.unit === "tokens") return tokens;
    const { tokens: known, gpuSeconds } = this.#pace;
    return tokens * (known > 0 ? gpuSeconds / known : SECONDS_OF_TOKEN);
  }

  #learn({ tokens, gpuSeconds }: PastUse): void {
    this.#pace.tokens += tokens;
    this.#pace.gpuSeconds += gpuSeconds;
  }

  #reserve(task: Task, tokens: number): void {
    this.#estimates.set(task, tokens);
    for (const account of this.#accountsOf(task)) account.reserved += tokens;
  }

  #release(task: Task): void {
    const tokens = this.#estimates.get(task);
    // One that was accepted before anybody had a budget.
    if (tokens === undefined) return;
    this.#estimates.delete(task);
    for (const account of this.#accountsOf(task)) account.reserved -= tokens;
  }

  /** Those that a task counts for. */
  #accountsOf({ user, team, keyName }: Owner): readonly Account[] {
    const accounts = [this.#account("user", user)];
    if (team !== null) accounts.push(this.#account("team", team));
    if (keyName !== null) accounts.push(this.#account("key", keyName));
    return accounts;
  }

  #account(of: Holder, name: string): Account {
    const known = this.#accounts[of].get(name);
    if (known !== undefined) return known;
    const sizes = this.#rules?.sizesOf(of, name) ?? null;
    const account: Account = { of, name, sizes, used: BUDGETS.map(() => 0), reserved: 0 };
    this.#accounts[of].set(name, account);
    return account;
  }

  /** Begins another day or month when one has ended. */
  #roll(): void {
    const now = this.#clock.now();
    for (const period of ["day", "month"] as const) if (this.#periods[period].roll(now)) this.#reset(period);
  }

  #reset(period: Period): void {
    for (const of of HOLDERS)
      for (const { used } of this.#accounts[of].values())
        for (const [index, budget] of BUDGETS.entries()) if (budget.period === period) used[index] = 0;
  }

  #periodsFrom(wall: number): Readonly<Record<Period, CalendarPeriod>> {
    const clock = this.#clock;
    return { day: new CalendarPeriod("day", clock, wall), month: new CalendarPeriod("month", clock, wall) };
  }
}

function noAccounts(): Readonly<Record<Holder, Map<string, Account>>> {
  return { user: new Map(), team: new Map(), key: new Map() };
}

function add({ used }: Account, { tokens, gpuSeconds }: PastUse, isOfDay: boolean): void {
  for (let index = 0; index < BUDGETS.length; index++) {
    const { unit, period } = BUDGETS[index]!;
    if (period === "month" || isOfDay) used[index]! += unit === "tokens" ? tokens : gpuSeconds;
  }
}
