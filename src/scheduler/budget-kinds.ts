/** The kinds of budgets: whose, of what, and in which time. */
import type { Period } from "../common/calendar-period.ts";

export const HOLDERS = ["user", "team", "key"] as const;
export type Holder = (typeof HOLDERS)[number];

/** The four budgets of a holder, in this order wherever there is a list of them. */
export const BUDGETS = [
  { unit: "tokens", period: "day", key: "tokens_per_day" },
  { unit: "tokens", period: "month", key: "tokens_per_month" },
  { unit: "gpu_seconds", period: "day", key: "gpu_seconds_per_day" },
  { unit: "gpu_seconds", period: "month", key: "gpu_seconds_per_month" },
] as const;

/** How large one is, and where that is set. */
export interface BudgetSize {
  readonly size: number;
  /** Like `callers.users.bob.tokens_per_day`. */
  readonly setIn: string;
}

/** In the order of `BUDGETS`; null: no limit. */
export type BudgetSizes = readonly (BudgetSize | null)[];

export interface BudgetRules {
  /** null: it has none. */
  readonly sizesOf: (of: Holder, name: string) => BudgetSizes | null;
  /** The teams and keys that have some. */
  readonly named: readonly { readonly of: Holder; readonly name: string }[];
}

/** One budget as it stands. */
export interface BudgetFacts {
  readonly of: Holder;
  readonly name: string;
  readonly unit: (typeof BUDGETS)[number]["unit"];
  readonly period: Period;
  readonly size: number;
  readonly used: number;
  /** For tasks that have not ended, as estimated. */
  readonly reserved: number;
  /** As the wall clock will show it; Unix milliseconds. */
  readonly resetsAt: number;
}
