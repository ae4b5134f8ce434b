/** `GET /callers`: who has how much of the server now. */
import type { FastifyInstance } from "fastify";
import { NoQuery } from "./schemas/common.ts";
import { CallersAnswer } from "./schemas/callers.ts";
import type { ServerParts } from "./server-parts.ts";
import { viewOfBudget, viewOfCaller } from "./views.ts";

export function callersRoute(app: FastifyInstance, { tasks }: ServerParts): void {
  const schema = {
    operationId: "listCallers",
    summary: "The users with what runs and waits of each, their shares, limits and budgets",
    description: "A `user` sees itself alone, the other roles all.",
    tags: ["tasks"],
    querystring: NoQuery,
    response: { 200: CallersAnswer },
  };
  app.get("/callers", { schema }, ({ caller: { name, role, keyName } }) => {
    const isOne = role === "user";
    return {
      callers: tasks.callers(isOne ? name : null).map(viewOfCaller),
      budgets: tasks.budgets(isOne ? { user: name, keyName } : null).map(viewOfBudget),
    };
  });
}
