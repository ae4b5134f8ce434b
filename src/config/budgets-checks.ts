/** Budgets go with how long it is known what was used. */
import { fieldName } from "../common/validation.ts";
import { BUDGETS } from "../scheduler/budget-kinds.ts";
import { finding, type Finding, type Path } from "./findings.ts";
import type { Config } from "./schema.ts";

/** Seconds that the hours of a whole day or month are kept for, with the hour in which it ends. */
const NEEDED = { day: 25 * 3600, month: (31 * 24 + 1) * 3600 };

/** One finding at most. A start reads what was used from hours that `usage.retention` must not have removed. */
export function* checkBudgets({ callers, usage: { retention } }: Config): Iterable<Finding> {
  for (const [holder, sizes] of holdersOf(callers))
    for (const { key, period } of BUDGETS) {
      const size = sizes[key] ?? "unlimited";
      if (size === "unlimited" || retention >= NEEDED[period]) continue;
      const budget = [...holder, key];
      const why = `for ${fieldName(budget, "")}: what was used in a ${period} has to be kept for so long`;
      yield finding(["usage", "retention"], `must be at least ${NEEDED[period]} ${why}; got ${retention}.`, budget);
      return;
    }
}

type Sizes = Config["callers"]["defaults"];

function* holdersOf(callers: Config["callers"]): Iterable<[Path, Pick<Sizes, (typeof BUDGETS)[number]["key"]>]> {
  yield [["callers", "defaults"], callers.defaults];
  for (const kind of ["users", "teams", "keys"] as const)
    for (const [name, sizes] of Object.entries(callers[kind])) yield [["callers", kind, name], sizes];
}
