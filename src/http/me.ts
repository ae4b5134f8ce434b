/** `GET /me`: who the server takes its caller for. */
import type { FastifyInstance } from "fastify";
import { isoTime } from "../common/clock.ts";
import { anybody } from "./access.ts";
import { NoQuery } from "./schemas/common.ts";
import { MeAnswer } from "./schemas/me.ts";
import type { ServerParts } from "./server-parts.ts";
import { viewOfBudget } from "./views.ts";

export function meRoute(app: FastifyInstance, { tasks }: ServerParts): void {
  const schema = {
    operationId: "getMe",
    summary: "Who the credentials of this request belong to",
    tags: ["meta"],
    querystring: NoQuery,
    response: { 200: MeAnswer },
  };
  app.get(
    "/me",
    { schema, onRequest: anybody() },
    ({ caller: { name, role, team, keyName, scopes, models, expiresAt, by } }) => ({
      user: name,
      role,
      team,
      key: keyName,
      scopes: scopes === null ? null : [...scopes],
      models,
      expires_at: expiresAt === null ? null : isoTime(expiresAt),
      signed_on_by: by ?? null,
      budgets: tasks.budgets({ user: name, team, keyName }).map(viewOfBudget),
    }),
  );
}
