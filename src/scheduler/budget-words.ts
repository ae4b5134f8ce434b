/** The refusals of submissions that go over a budget. */
import { isoTime } from "../common/clock.ts";
import { AltLasError } from "../errors.ts";
import type { BudgetFacts } from "./budget-kinds.ts";

/** A budget that has too little left. Amounts are in its unit. */
export interface Shortage extends BudgetFacts {
  /** Like `callers.users.bob.tokens_per_day`. */
  readonly setIn: string;
  /** The amount that is asked for, as estimated. */
  readonly need: number;
  /** Tasks that ask for it. */
  readonly items: number;
  /** Until it resets. */
  readonly seconds: number;
}

/** Seconds after which tasks may have ended that had something reserved. */
const SOON = 10;

/** The one that is named: the one that lasts longest, of equals the one with the least left. */
export function worstOf(shortages: readonly Shortage[]): Shortage {
  return shortages.toSorted((a, b) => waitOf(b) - waitOf(a) || leftOf(a) - leftOf(b))[0]!;
}

export function overBudget(shortage: Shortage): AltLasError {
  const { reserved, need, resetsAt } = shortage;
  const retryAfter = waitOf(shortage);
  const { unit } = shortage;
  const held = reserved > 0 ? `, ${amount(reserved, unit)} are set aside for tasks that have not ended` : "";
  const used = `${amount(shortage.used, unit)} are used${held}, and this needs about ${amount(need, unit)}`;
  const sentence = `${mayHave(shortage)}: ${used}. It resets at ${isoTime(resetsAt)}. Try again in ${retryAfter} s.`;
  return new AltLasError("budget_exceeded", sentence, { retryAfter });
}

/** Of a batch that no budget that is all unused would be enough for. */
export function tooLargeForBudget(shortage: Shortage): AltLasError {
  const { items, need, unit } = shortage;
  const needs = `batch has ${items} items, which need about ${amount(need, unit)} ${NAMES[unit].several} together`;
  return new AltLasError("invalid_input", `${needs}. ${mayHave(shortage)}.`, { param: "batch" });
}

/** Until it may be accepted. Reserved amounts may come back soon. */
function waitOf({ used, need, items, size, reserved, seconds }: Shortage): number {
  const isHeld = reserved > 0 && (used + need <= size || (items === 1 && used < size));
  return isHeld ? Math.min(SOON, seconds) : seconds;
}

function leftOf({ size, used, reserved }: Shortage): number {
  return size - used - reserved;
}

function mayHave({ of, name, size, unit, period, setIn }: Shortage): string {
  const holder = { user: name, team: `The team ${name}`, key: `The key ${name}` }[of];
  return `${holder} may have ${size} ${size === 1 ? NAMES[unit].one : NAMES[unit].several} a ${period} (${setIn})`;
}

const NAMES = {
  tokens: { one: "token", several: "tokens" },
  gpu_seconds: { one: "GPU-second", several: "GPU-seconds" },
} as const;

function amount(value: number, unit: keyof typeof NAMES): string {
  return String(unit === "tokens" ? Math.ceil(value) : Math.round(value * 10) / 10);
}
