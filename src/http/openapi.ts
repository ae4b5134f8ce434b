/** `GET /openapi.json`, made from the schemas that also check the requests. */
import type { SwaggerOptions } from "@fastify/swagger";
import { fastify, type FastifyInstance, type FastifySchema, type RouteOptions } from "fastify";
import type { Config } from "../config/config.ts";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { type Access, accessOf, anybody } from "./access.ts";
import { AnthropicFailure, MessageAnswer, TokenCount } from "./schemas/anthropic-answers.ts";
import { KeyView, MadeKey, UserView } from "./schemas/accounts.ts";
import { BatchView } from "./schemas/batches.ts";
import { ConfigAnswer } from "./schemas/config.ts";
import { Failure } from "./schemas/common.ts";
import { renewalOf } from "./live-schemas.ts";
import { heedsKeys } from "./idempotency.ts";
import { failureSchemaOf, statusFor } from "./openai/envelope.ts";
import { forClients, type Schema } from "./openapi-fields.ts";
import { GpuDetails, GpuView } from "./schemas/gpus.ts";
import { ChatAnswer, CompletionAnswer, EmbeddingAnswer, OpenAiFailure, OpenAiModel } from "./schemas/openai-answers.ts";
import { BatchFileView } from "./schemas/batch-files.ts";
import { FileView } from "./schemas/files.ts";
import { ModelView } from "./schemas/models.ts";
import { ResponseAnswer } from "./schemas/response-answers.ts";
import { DryRunAnswer } from "./schemas/submissions.ts";
import { TaskSummary, TaskView } from "./schemas/tasks.ts";
import { DeliveriesAnswer, EndpointsAnswer, SecretView } from "./schemas/webhooks.ts";
import { setUpSerializers } from "./serializers.ts";

declare module "fastify" {
  interface FastifyInstance {
    /** The document as the routes were declared. */
    readonly openapi: () => Promise<Declared>;
  }
  interface FastifySchema {
    /** Refusals of this route beside those of its kind; for the document only. */
    readonly refusals?: readonly ErrorCode[];
  }
}

/** Schemas that the document names, so that generated clients have types with names. */
const SHARED_SCHEMAS = [
  Failure,
  OpenAiFailure,
  TaskSummary,
  TaskView,
  DryRunAnswer,
  BatchView,
  SecretView,
  DeliveriesAnswer,
  EndpointsAnswer,
  GpuView,
  GpuDetails,
  ModelView,
  ConfigAnswer,
  ChatAnswer,
  CompletionAnswer,
  EmbeddingAnswer,
  OpenAiModel,
  ResponseAnswer,
  FileView,
  BatchFileView,
  UserView,
  KeyView,
  MadeKey,
];

/** Those of APIs that are served only where the configuration says so, and their tags. */
const ANTHROPIC = {
  schemas: [AnthropicFailure, MessageAnswer, TokenCount],
  tags: [{ name: "anthropic", description: "Anthropic's API, whose calls are tasks, too" }],
};
const OLLAMA = { schemas: [], tags: [{ name: "ollama", description: "Ollama's API, whose calls are tasks, too" }] };

/** The parts of the document that are mended after it was made. */
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}
interface Operation {
  readonly requestBody?: { required: boolean; readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

/** Refusals of each kind of route, beside its own answers. */
const ALWAYS: ErrorCode[] = [
  "invalid_input",
  "unauthorized",
  "issuer_unavailable",
  "store_unavailable",
  "method_not_allowed",
  "rate_limited",
  "internal_error",
];
const ON_NAMING: ErrorCode[] = ["not_found"];
const ON_SENDING: ErrorCode[] = [
  "malformed_json",
  "forbidden",
  "body_too_large",
  "unsupported_media_type",
  "expectation_failed",
  "overloaded",
];
export const ON_SUBMITTING = [
  "model_not_found",
  "unsupported",
  "model_too_large",
  "prompt_too_long",
  "budget_exceeded",
  "queue_full",
  "draining",
  "no_usable_gpu",
  "store_unavailable",
] as const satisfies ErrorCode[];

const REQUEST_ID = { "X-Request-Id": { type: "string", description: "The client's own, or a new one." } };
const WARNING = {
  "X-Warning": {
    type: "string",
    description:
      "Sentences: fields that mean nothing here, webhooks that are paused, what of a schema is not made sure of, what the answer does not match.",
  },
};
const RETRY_AFTER = { "Retry-After": { type: "integer", description: "Seconds after which to try again." } };

const TAGS = [
  { name: "tasks", description: "Submit tasks, follow them and end them" },
  { name: "batches", description: "Tasks that were submitted together" },
  { name: "webhooks", description: "Messages about tasks and batches to other servers" },
  { name: "usage", description: "What tasks have cost" },
  { name: "gpus", description: "The GPUs and their load" },
  { name: "models", description: "The models, and where they are" },
  { name: "accounts", description: "Users and their API keys; for admins" },
  { name: "config", description: "The configuration, also while the server runs" },
  { name: "audit", description: "Who did what to what" },
  { name: "openai", description: "OpenAI's API, whose calls are tasks, too" },
  { name: "health", description: "For load balancers and supervisors; no credentials needed" },
  { name: "metrics", description: "For Prometheus" },
  { name: "meta", description: "This document" },
];

interface Declared {
  readonly document: Document;
  /** The schemas of bodies that follow the configuration, by method and path. */
  readonly liveBodies: ReadonlyMap<string, object>;
}

/** Prepares the document; call it before the routes are registered. */
export function setUpOpenapi(app: FastifyInstance, version: string, { anthropic, ollama }: Config["api"]): void {
  const others = [...(anthropic ? [ANTHROPIC] : []), ...(ollama ? [OLLAMA] : [])];
  const shared = [...SHARED_SCHEMAS, ...others.flatMap(({ schemas }) => schemas)];
  setUpSerializers(app, shared);
  const routes: RouteOptions[] = [];
  app.addHook("onRoute", (route) => void routes.push(route));
  let declared: Promise<Declared> | undefined;
  const tags = [...TAGS, ...others.flatMap((other) => other.tags)];
  app.decorate("openapi", () => (declared ??= declaredBy(routes, shared, { version, tags })));
}

/**
 * Makes the document when it is first asked for, which in most lives of a server is never: what makes it is many modules. It hears of routes
 * while they are declared, so they are declared a second time, to an application that nobody asks.
 */
async function declaredBy(
  routes: readonly RouteOptions[],
  shared: readonly object[],
  about: { readonly version: string; readonly tags: typeof TAGS },
): Promise<Declared> {
  const { default: swagger } = await import("@fastify/swagger");
  const liveBodies = new Map<string, object>();
  const app = fastify({ exposeHeadRoutes: false });
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);
  for (const schema of shared) app.addSchema(schema);
  await app.register(swagger, optionsOf(liveBodies, about));
  for (const { method, url, schema, onRequest } of routes)
    if (method !== "HEAD")
      app.route({ method, url, ...(schema && { schema }), ...(onRequest && { onRequest }), handler: () => {} });
  await app.ready();
  return { document: app.swagger() as unknown as Document, liveBodies };
}

function optionsOf(
  liveBodies: Map<string, object>,
  { version, tags }: { readonly version: string; readonly tags: typeof TAGS },
): SwaggerOptions {
  return {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "ALT_LAS",
        version,
        description: "Text generation over several GPUs through one durable task API.",
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: "/" }],
      tags: [...tags],
      components: {
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer", description: "An API key" },
          basic: { type: "http", scheme: "basic", description: "User and password" },
          api_key: { type: "apiKey", in: "header", name: "x-api-key", description: "An API key, as with bearer" },
        },
      },
      security: [{ bearer: [] }, { basic: [] }, { api_key: [] }],
    },
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (json) => String(json["$id"]) },
    transformObject: (made) => withOptionalBodies((made as { openapiObject: Document }).openapiObject),
    transform: ({ schema, url, route }) => {
      const method = String(route.method);
      const body = (schema as FastifySchema | undefined)?.body as object | undefined;
      if (body !== undefined && renewalOf(body) !== undefined) liveBodies.set(`${method} ${url}`, body);
      return {
        schema: schema?.hide === true ? schema : documented(guarded(schema ?? {}, accessOf(route)), url, method),
        // The document has no word for the rest of a path.
        url: url.replace("*", `:${REST}`),
      };
    },
  };
}

/** With what the route asks of its caller; nothing where no credentials are needed. */
function guarded(schema: FastifySchema, access: Access | undefined): FastifySchema {
  if (access === undefined) return schema;
  const { roles, scope } = access;
  const words = { "x-roles": roles, "x-scope": scope };
  if (scope === null) return { ...schema, ...words };
  return { ...schema, ...words, refusals: [...(schema.refusals ?? []), "forbidden"] };
}

/** In the document's text. */
const SERVERS = '[{"url":"/"}]';

export function openapiRoute(app: FastifyInstance): void {
  const schema = {
    operationId: "openapi",
    summary: "This document",
    tags: ["meta"],
    response: { 200: { type: "object", additionalProperties: true } },
  };
  let made: { readonly of: readonly object[]; readonly text: string } | undefined;
  app.get("/openapi.json", { schema, onRequest: anybody() }, async ({ prefix }, reply) => {
    const { document, liveBodies } = await app.openapi();
    const bodies = Array.from(liveBodies, ([route, body]) => [route, renewalOf(body)?.() ?? body] as const);
    const of = bodies.map(([, body]) => body);
    if (made?.of.every((body, index) => body === of[index]) !== true)
      made = { of, text: JSON.stringify(withBodies(document, bodies)) };
    return reply
      .type("application/json; charset=utf-8")
      .send(prefix === "" ? made.text : made.text.replace(SERVERS, JSON.stringify([{ url: prefix }])));
  });
}

/** The document with the bodies as the configuration has them now. */
function withBodies(document: Document, bodies: readonly (readonly [route: string, body: object])[]): Document {
  for (const [route, body] of bodies) {
    const [method = "", path = ""] = route.split(" ");
    const content = document.paths[path]?.[method.toLowerCase()]?.requestBody?.content["application/json"];
    const { examples: [example] = [], ...schema } = forClients(body, true);
    if (content !== undefined) Object.assign(content, { schema, ...(example !== undefined && { example }) });
  }
  return document;
}

/** A route's schema as clients should see it. */
function documented({ refusals = [], ...schema }: FastifySchema, url: string, method: string): FastifySchema {
  const { querystring, body, response, params } = schema;
  const headers = headersOf(url, method);
  const mayWarn = heedsKeys(method, url) && !/\/(?:batches|retry)$/.test(url);
  const answers = Object.entries(response as Record<string, object>).map(([status, answer]) => [
    status,
    status.startsWith("2")
      ? { description: "Success", ...answer, headers: { ...REQUEST_ID, ...(mayWarn && WARNING) } }
      : { description: "Not ready", ...answer, headers: { ...REQUEST_ID, ...RETRY_AFTER } },
  ]);
  return {
    ...schema,
    ...(url.endsWith("*") && { params: withNamedRest(params as Schema) }),
    ...(querystring !== undefined && { querystring: forClients(querystring as Schema, false) }),
    ...(body !== undefined && { body: forClients(body as Schema, true) }),
    ...(headers && { headers: { type: "object", properties: headers } }),
    response: { ...Object.fromEntries(answers), ...failuresOf(schema, url, method, refusals) },
  };
}

/** The document's name for the rest of a path. */
const REST = "model";

function withNamedRest({ properties = {}, ...rest }: Schema): Schema {
  const { "*": named = {}, ...others } = properties;
  return { ...rest, properties: { ...others, [REST]: named }, required: [REST] };
}

/** The plugin takes every body for required; one with a default is not. */
function withOptionalBodies(document: Document): Document {
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  for (const { requestBody } of operations) {
    if (requestBody?.content["application/json"]?.schema.default !== undefined) requestBody.required = false;
  }
  return document;
}

/** The failures of a route: those of its kind, and its own. */
function failuresOf(
  { security }: FastifySchema,
  url: string,
  method: string,
  refusals: readonly ErrorCode[],
): Record<string, object> {
  if (security?.length === 0) return {};
  const codes = new Set<ErrorCode>([...ALWAYS, ...refusals]);
  if (method !== "GET") ON_SENDING.forEach((code) => codes.add(code));
  if (url.includes("/:")) ON_NAMING.forEach((code) => codes.add(code));
  const failures: Record<string, object> = {};
  for (const status of new Set([...codes].map((code) => statusFor(url, code)))) {
    const meanings = [...codes]
      .filter((code) => statusFor(url, code) === status)
      .map((code) => `${code}: ${ERRORS[code].meaning}`);
    const headers = { ...REQUEST_ID, ...(status === 429 || status === 503 ? RETRY_AFTER : {}) };
    failures[status] = {
      ...failureSchemaOf(url),
      description: meanings.join("; "),
      headers,
    };
  }
  return failures;
}

const PREFER = {
  type: "string",
  description: "wait=N: hold the answer until the task ends, for N seconds at most (RFC 7240).",
  examples: ["wait=30"],
};
const IDEMPOTENCY_KEY = {
  type: "string",
  minLength: 1,
  maxLength: 255,
  description:
    "A name for this request, kept for 24 hours: sent again with the same body, it is answered with the tasks or the batch of the first time and Idempotent-Replayed: true.",
  examples: ["order-4711"],
};
const LAST_EVENT_ID = {
  type: "string",
  description: "The id of the last event that the client has: only what came after it is sent.",
  examples: ["123e4567-e89b-12d3-a456-426614174000:1:42"],
};

function headersOf(url: string, method: string): Record<string, object> | undefined {
  if (heedsKeys(method, url))
    return { ...(url.endsWith("/predict") && { prefer: PREFER }), "idempotency-key": IDEMPOTENCY_KEY };
  if (url.endsWith("/events")) return { "last-event-id": LAST_EVENT_ID };
  return undefined;
}
