/** `/webhooks`: the servers to which a user's webhooks go in vain, and how to have them tried again. */
import type { FastifyInstance } from "fastify";
import { isoTime } from "../common/clock.ts";
import type { Caller } from "../auth/credentials.ts";
import { shown } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";
import type { WebhookEndpoint } from "../store/outbox.ts";
import { mayChange, seesAll } from "./access.ts";
import { noteForAudit } from "./auditing.ts";
import { NoQuery } from "./schemas/common.ts";
import { type EndpointsAnswer, EndpointsQuery, EndpointsRef, ResumeRequest } from "./schemas/webhooks.ts";
import type { ServerParts } from "./server-parts.ts";
import { ignoreTypeOfNothing } from "./validate.ts";
import { isoTimeOrNull } from "./views.ts";

const ABOUT = { tags: ["webhooks"], response: { 200: EndpointsRef } };

export function endpointsRoute(app: FastifyInstance, { webhooks }: ServerParts): void {
  app.route<{ Querystring: EndpointsQuery }>({
    method: "GET",
    url: "/webhooks",
    schema: {
      ...ABOUT,
      operationId: "listWebhookEndpoints",
      summary: "Servers to which all webhooks of a user go in vain",
      description: "The caller's; admins, and viewers of the whole server, see those of all users.",
      querystring: EndpointsQuery,
      refusals: ["store_unavailable"],
    },
    handler: async ({ caller, query: { user } }) => {
      if (seesAll(caller)) return answerOf(await webhooks.endpoints(user));
      return answerOf(user === undefined || user === caller.name ? await webhooks.endpoints(caller.name) : []);
    },
  });
}

export function resumeWebhooksRoute(app: FastifyInstance, { webhooks }: ServerParts): void {
  app.route<{ Body: ResumeRequest }>({
    method: "POST",
    url: "/webhooks/resume",
    config: { audit: "webhook.resume" },
    onRequest: [mayChange("Resuming webhooks"), ignoreTypeOfNothing],
    schema: {
      ...ABOUT,
      operationId: "resumeWebhooks",
      summary: "Send webhooks again to where they went in vain",
      description: "It answers what is left of the user's. The body may be left out.",
      querystring: NoQuery,
      body: ResumeRequest,
      refusals: ["not_found", "store_unavailable"],
    },
    handler: async (request) => {
      const { caller, body } = request;
      const { user = caller.name, origin = null } = body;
      if (user !== caller.name && caller.role !== "admin") throw forOthers(user, caller);
      noteForAudit(request, { target: user, ...(origin !== null && { details: origin }) });
      await webhooks.resume(user, origin, caller.name);
      return answerOf(await webhooks.endpoints(user));
    },
  });
}

function forOthers(user: string, { name, role }: Caller): AltLasError {
  const sentence = `Resuming webhooks of ${shown(user)} needs the role admin; ${name} has the role ${role}.`;
  return new AltLasError("forbidden", sentence);
}

function answerOf(endpoints: readonly WebhookEndpoint[]): EndpointsAnswer {
  return {
    endpoints: endpoints.map(({ user, origin, failingSince, pausedAt }) => ({
      user,
      origin,
      failing_since: isoTime(failingSince),
      paused_at: isoTimeOrNull(pausedAt),
    })),
  };
}
