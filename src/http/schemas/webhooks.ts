/** Webhooks as their owners see them. */
import { Type, type Static } from "../../common/type.ts";
import { BATCH_EVENTS } from "../../task.ts";
import { closed, oneOf, orNull, shared, Time, TIME_EXAMPLE, TimeOrNull } from "./common.ts";

export const SecretView = Type.Object(
  {
    secret: orNull<string>("string", { description: "`whsec_` and base64; null: it was shown before." }),
    created_at: Time("When it was made."),
    previous_until: TimeOrNull("Until when the one before signs too; null: there is none."),
  },
  {
    $id: "WebhookSecret",
    description: "The secret that signs the caller's webhooks, in the form of Standard Webhooks.",
    examples: [{ secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", created_at: TIME_EXAMPLE, previous_until: null }],
  },
);
export type SecretView = Static<typeof SecretView>;
export const SecretRef = shared(SecretView);

const DeliveryAttempt = Type.Object({
  at: Time("When it was sent."),
  status_code: orNull<number>("integer", { description: "Of the receiver's answer; null: there was none." }),
  error: orNull<string>("string", { description: "Why there was none." }),
  duration: Type.Number({ description: "Seconds it took." }),
});

const Delivery = Type.Object({
  webhook_id: Type.String({ description: "The receiver sees it as webhook-id; the same with every try." }),
  event: oneOf(BATCH_EVENTS),
  url: Type.String(),
  status: oneOf(["pending", "delivered", "failed"]),
  created_at: Time("When it happened."),
  next_attempt_at: TimeOrNull("When it is tried next; null: not any more."),
  attempts: Type.Array(DeliveryAttempt, { description: "The first one first." }),
});

export const DeliveriesAnswer = Type.Object(
  { webhooks: Type.Array(Delivery, { description: "Oldest first." }) },
  {
    $id: "Webhooks",
    examples: [
      {
        webhooks: [
          {
            webhook_id: "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            event: "task.completed",
            url: "https://example.com/hook",
            status: "delivered",
            created_at: TIME_EXAMPLE,
            next_attempt_at: null,
            attempts: [{ at: TIME_EXAMPLE, status_code: 204, error: null, duration: 0.12 }],
          },
        ],
      },
    ],
  },
);
export type DeliveriesAnswer = Static<typeof DeliveriesAnswer>;
export const DeliveriesRef = shared(DeliveriesAnswer);

export const RedeliverRequest = closed(
  {
    webhook_id: Type.Optional(Type.String({ minLength: 1, description: "Only this one; without it, all of them." })),
  },
  { title: "RedeliverRequest", default: {}, examples: [{ webhook_id: "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W" }] },
);
export type RedeliverRequest = Static<typeof RedeliverRequest>;

export const EndpointsQuery = closed({
  user: Type.Optional(Type.String({ description: "Only this user's, of those that the caller may see." })),
});
export type EndpointsQuery = Static<typeof EndpointsQuery>;

const Endpoint = Type.Object({
  user: Type.String({ description: "Whose webhooks go there." }),
  origin: Type.String({ description: "Scheme, host and port of their URLs." }),
  failing_since: Time("The first failure after the last success."),
  paused_at: TimeOrNull("Since when they are not sent; null: they are."),
});

export const EndpointsAnswer = Type.Object(
  { endpoints: Type.Array(Endpoint) },
  {
    $id: "WebhookEndpoints",
    description: "Servers to which all webhooks of a user go in vain.",
    examples: [
      {
        endpoints: [
          { user: "ada", origin: "https://example.com", failing_since: TIME_EXAMPLE, paused_at: TIME_EXAMPLE },
        ],
      },
    ],
  },
);
export type EndpointsAnswer = Static<typeof EndpointsAnswer>;
export const EndpointsRef = shared(EndpointsAnswer);

export const ResumeRequest = closed(
  {
    origin: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2048,
        description: "Only this one, as `GET /webhooks` shows it; without it, all of the user's.",
      }),
    ),
    user: Type.Optional(Type.String({ description: "Whose; without it, the caller's. Others' are for admins." })),
  },
  { title: "ResumeRequest", default: {}, examples: [{ origin: "https://example.com" }] },
);
export type ResumeRequest = Static<typeof ResumeRequest>;
