/** `GET /me`: who the server takes its caller for. */
import { type FastifyInstance } from "fastify";
import { NoQuery } from "./schemas/common.ts";
import { MeAnswer } from "./schemas/me.ts";

export function meRoute(app: FastifyInstance): void {
  const schema = {
    operationId: "getMe",
    summary: "Who the credentials of this request belong to",
    tags: ["meta"],
    querystring: NoQuery,
    response: { 200: MeAnswer },
  };
  app.get("/me", { schema }, ({ caller: { name, role } }) => ({ user: name, role }));
}
