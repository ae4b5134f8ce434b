/** The secrets of webhooks, and their deliveries. */
import type { FastifyInstance } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import type { Delivery } from "../store/outbox.ts";
import { mayChange } from "./access.ts";
import { refuseForeignPages } from "./cross-origin.ts";
import { batchNamed, type BatchPath, taskNamed, type TaskPath } from "./lookup.ts";
import type { ServerParts } from "./server-parts.ts";
import { maySeeInside } from "./public-words.ts";
import { BatchParams } from "./schemas/batches.ts";
import { EmptyRequest, NoQuery } from "./schemas/common.ts";
import { TaskParams } from "./schemas/tasks.ts";
import { DeliveriesRef, RedeliverRequest, SecretRef } from "./schemas/webhooks.ts";
import { ignoreTypeOfNothing } from "./validate.ts";
import { viewOfDelivery, viewOfSecret } from "./views.ts";

const SECRET = { tags: ["webhooks"], querystring: NoQuery, response: { 200: SecretRef } };

export function secretRoutes(app: FastifyInstance, { webhooks, config }: ServerParts): void {
  const get = {
    ...SECRET,
    operationId: "getWebhookSecret",
    summary: "The secret that signs the caller's webhooks",
    description: "It is made when there is none yet, and shown once; after that `secret` is null.",
    refusals: ["forbidden" as const, "store_unavailable" as const],
  };
  const mayHave = mayChange("Having a webhook secret");
  // It uses up the one showing, which a foreign page could do although it cannot read what is shown.
  const onRequest = [refuseForeignPages(config), mayHave];
  app.get("/webhook_secret", { schema: get, onRequest, exposeHeadRoute: false }, async ({ caller }) =>
    viewOfSecret(await webhooks.secretOf(caller.name)),
  );
  // Else a HEAD would be answered by the handler of the GET, and what it showed to nobody would never be shown again.
  app.head("/webhook_secret", { schema: { hide: true }, onRequest }, (_request, reply) =>
    reply.type("application/json; charset=utf-8").send(),
  );

  const post = {
    ...SECRET,
    operationId: "rotateWebhookSecret",
    summary: "Make a new secret",
    description: "It is shown now and never again. The one before signs beside it for a day. The body may be left out.",
    body: EmptyRequest,
    refusals: ["store_unavailable" as const],
  };
  const options = { config: { audit: "webhook_secret.rotate" as const }, onRequest: [mayHave, ignoreTypeOfNothing] };
  app.post("/webhook_secret", { schema: post, ...options }, async ({ caller }) =>
    viewOfSecret(await webhooks.rotateSecret(caller.name)),
  );
}

/** Before the body is read: who may do this, and that it may be missing. */
const onRedelivery = [mayChange("Sending a webhook"), ignoreTypeOfNothing];

export function taskWebhooksRoutes(app: FastifyInstance, { tasks, webhooks }: ServerParts): void {
  const url = "/task/:task_id/webhooks";
  app.route<{ Params: TaskPath }>({
    method: "GET",
    url,
    schema: { ...aboutListing("Task"), params: TaskParams },
    handler: async ({ caller, params }) => {
      const { id } = await taskNamed(tasks, caller, params);
      return answerOf(await webhooks.deliveriesOf(id), caller);
    },
  });
  app.route<{ Params: TaskPath; Body: RedeliverRequest }>({
    method: "POST",
    url,
    schema: { ...aboutRedelivery("Task"), params: TaskParams },
    onRequest: onRedelivery,
    handler: async ({ caller, params, body }) => {
      const { id } = await taskNamed(tasks, caller, params);
      return answerOf(await webhooks.redeliver(id, body.webhook_id ?? null), caller);
    },
  });
}

export function batchWebhooksRoutes(app: FastifyInstance, { tasks, webhooks }: ServerParts): void {
  const url = "/batch/:batch_id/webhooks";
  app.route<{ Params: BatchPath }>({
    method: "GET",
    url,
    schema: { ...aboutListing("Batch"), params: BatchParams },
    handler: async ({ caller, params }) => {
      const { batch } = await batchNamed(tasks, caller, params);
      return answerOf(await webhooks.deliveriesOf(batch.id), caller);
    },
  });
  app.route<{ Params: BatchPath; Body: RedeliverRequest }>({
    method: "POST",
    url,
    schema: { ...aboutRedelivery("Batch"), params: BatchParams },
    onRequest: onRedelivery,
    handler: async ({ caller, params, body }) => {
      const { batch } = await batchNamed(tasks, caller, params);
      return answerOf(await webhooks.redeliver(batch.id, body.webhook_id ?? null), caller);
    },
  });
}

const DELIVERIES = { tags: ["webhooks"], querystring: NoQuery, response: { 200: DeliveriesRef } };

function aboutListing(subject: "Task" | "Batch") {
  const summary = `The webhooks about a ${subject.toLowerCase()}, with each try`;
  return { ...DELIVERIES, operationId: `get${subject}Webhooks`, summary };
}

function aboutRedelivery(subject: "Task" | "Batch") {
  return {
    ...DELIVERIES,
    operationId: `redeliver${subject}Webhooks`,
    summary: `Send webhooks about a ${subject.toLowerCase()} once more, now`,
    description: "The one that the body names; without a body, all of them.",
    body: RedeliverRequest,
  };
}

function answerOf(deliveries: readonly Delivery[], caller: Caller) {
  const isInside = maySeeInside(caller);
  return { webhooks: deliveries.map((delivery) => viewOfDelivery(delivery, isInside)) };
}
