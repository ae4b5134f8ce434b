/** `GET /callers`: who has how much of the server now. */
import type { FastifyInstance } from "fastify";
import type { BudgetFacts } from "../scheduler/budget-kinds.ts";
import { ownersFor } from "./access.ts";
import { NoQuery } from "./schemas/common.ts";
import { CallersAnswer } from "./schemas/callers.ts";
import type { ServerParts } from "./server-parts.ts";
import { viewOfBudget, viewOfCaller, viewOfTeam } from "./views.ts";

export function callersRoute(app: FastifyInstance, { credentials, tasks }: ServerParts): void {
  const schema = {
    operationId: "listCallers",
    summary: "The users and teams with what runs and waits of each, their shares, limits and budgets",
    description:
      "A `user` sees itself and its team, a `viewer` that has a team the team and its members, the others all.",
    tags: ["tasks"],
    querystring: NoQuery,
    response: { 200: CallersAnswer },
  };
  app.get("/callers", { schema }, ({ caller }) => {
    const { user = null, team } = ownersFor(caller);
    const isMember = (name: string): boolean => team === undefined || credentials.teamOf(name) === team;
    const budgets = tasks.budgets(user === null ? null : { user, team: caller.team, keyName: caller.keyName });
    const isSeen = ({ of, name }: BudgetFacts): boolean => {
      return team === undefined || (of === "team" ? name === team : of === "user" && isMember(name));
    };
    const { callers, teams } = tasks.callers(user);
    const seesAllTeams = user === null && team === undefined;
    return {
      callers: callers.flatMap((one) => (isMember(one.user) ? [viewOfCaller(one)] : [])),
      teams: teams.flatMap((one) => (seesAllTeams || one.name === caller.team ? [viewOfTeam(one)] : [])),
      budgets: budgets.flatMap((one) => (isSeen(one) ? [viewOfBudget(one)] : [])),
    };
  });
}
