/** The budgets that the configuration gives to users, teams and keys. */
import type { Config } from "../config/config.ts";
import { type BudgetRules, BUDGETS, type BudgetSize, type BudgetSizes } from "../scheduler/budget-kinds.ts";

type Callers = Config["callers"];
/** As the configuration has them; undefined, null: nothing is said. */
type Given = Readonly<Partial<Record<(typeof BUDGETS)[number]["key"], number | "unlimited" | null>>>;

/** @returns null: nobody has any */
export function budgetRules({ defaults, users, teams, keys }: Callers): BudgetRules | null {
  const everyone = sizesOf([[defaults, "callers.defaults"]]);
  const ofUser = named(users, (own, name) => [
    [own, `callers.users.${name}`],
    [defaults, "callers.defaults"],
  ]);
  const ofTeam = named(teams, (own, name) => [[own, `callers.teams.${name}`]]);
  const ofKey = named(keys, (own, name) => [[own, `callers.keys.${name}`]]);
  if (everyone === null && [ofUser, ofTeam, ofKey].every((some) => some.values().every((sizes) => sizes === null)))
    return null;
  const all = { user: ofUser, team: ofTeam, key: ofKey };
  return {
    sizesOf: (of, name) => all[of].get(name) ?? (of === "user" && !ofUser.has(name) ? everyone : null),
    named: [...names("user", ofUser), ...names("team", ofTeam), ...names("key", ofKey)],
  };
}

type Sources = readonly (readonly [given: Given, at: string])[];
type Named = ReadonlyMap<string, BudgetSizes | null>;

function named(given: Readonly<Record<string, Given>>, sourcesOf: (own: Given, name: string) => Sources): Named {
  return new Map(Object.entries(given).map(([name, own]) => [name, sizesOf(sourcesOf(own, name))]));
}

function* names<Of extends "user" | "team" | "key">(of: Of, some: Named) {
  for (const [name, sizes] of some) if (sizes !== null) yield { of, name };
}

/** @param sources the first that says something counts @returns null: there are none */
function sizesOf(sources: Sources): BudgetSizes | null {
  const sizes = BUDGETS.map(({ key }): BudgetSize | null => {
    const source = sources.find(([given]) => (given[key] ?? null) !== null);
    const size = source?.[0][key];
    return typeof size === "number" ? { size, setIn: `${source![1]}.${key}` } : null;
  });
  return sizes.some((size) => size !== null) ? sizes : null;
}
