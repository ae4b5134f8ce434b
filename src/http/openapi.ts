/** `GET /openapi.json`, made from the schemas that also check the requests. */
import swagger from "@fastify/swagger";
import { type FastifyInstance, type FastifySchema } from "fastify";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { FailureRef, SHARED_SCHEMAS } from "./schemas.ts";

/** The parts of a request's schema that the document changes. */
interface Schema {
  readonly type?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly allowed?: string;
  readonly maxBytes?: number;
}

/** The parts of the document that are mended after it was made. */
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}
interface Operation {
  readonly requestBody?: { required: boolean; readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

/** What each kind of route may be refused with, beside its own answers. */
const ALWAYS: ErrorCode[] = ["invalid_input", "unauthorized", "method_not_allowed", "rate_limited", "internal_error"];
const ON_READING: ErrorCode[] = ["store_unavailable"];
const ON_NAMING: ErrorCode[] = ["not_found"];
const ON_SENDING: ErrorCode[] = ["malformed_json", "forbidden", "body_too_large", "unsupported_media_type"];
const ON_SUBMITTING: ErrorCode[] = ["prompt_too_long", "queue_full", "draining", "no_usable_gpu", "store_unavailable"];

const REQUEST_ID = { "X-Request-Id": { type: "string", description: "The client's own, or a new one." } };
const RETRY_AFTER = { "Retry-After": { type: "integer", description: "Seconds after which to try again." } };

/** Prepares the document; call it before the routes are registered. */
export function setUpOpenapi(app: FastifyInstance, version: string): void {
  for (const schema of SHARED_SCHEMAS) app.addSchema(schema);
  app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "ALT_LAS",
        version,
        description: "Text generation over several GPUs through one durable task API.",
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: "/" }],
      tags: [
        { name: "tasks", description: "Submit tasks and follow them" },
        { name: "gpus", description: "What the GPUs are doing" },
        { name: "health", description: "For load balancers and supervisors; no credentials needed" },
        { name: "meta", description: "This document" },
      ],
      components: {
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer", description: "An API key" },
          basic: { type: "http", scheme: "basic", description: "User and password" },
        },
      },
      security: [{ bearer: [] }, { basic: [] }],
    },
    convertConstToEnum: false,
    refResolver: { buildLocalReference: (json) => String(json["$id"]) },
    transformObject: (made) => withOptionalBodies((made as { openapiObject: Document }).openapiObject),
    transform: ({ schema, url }) => ({ schema: documented(schema ?? {}, url), url }),
  });
}

export function openapiRoute(app: FastifyInstance): void {
  const schema = {
    operationId: "openapi",
    summary: "This document",
    tags: ["meta"],
    response: { 200: { type: "object", additionalProperties: true } },
  };
  let document: string | undefined;
  app.get("/openapi.json", { schema }, (_request, reply) => {
    document ??= JSON.stringify(app.swagger());
    return reply.type("application/json; charset=utf-8").send(document);
  });
}

/** A route's schema as clients should see it. */
function documented(schema: FastifySchema, url: string): FastifySchema {
  const { querystring, body, response } = schema;
  const answers = Object.entries(response as Record<string, object>).map(([status, answer]) => [
    status,
    status === "200"
      ? { description: "Success", ...answer, headers: REQUEST_ID }
      : { description: "Not ready", ...answer, headers: { ...REQUEST_ID, ...RETRY_AFTER } },
  ]);
  return {
    ...schema,
    ...(querystring !== undefined && { querystring: forClients(querystring as Schema, false) }),
    ...(body !== undefined && { body: forClients(body as Schema, true) }),
    ...(url.endsWith("/predict") && { headers: PREFER }),
    response: { ...Object.fromEntries(answers), ...failuresOf(schema, url) },
  };
}

/** The plugin takes every body for required; one with a default is not. */
function withOptionalBodies(document: Document): Document {
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  for (const { requestBody } of operations) {
    if (requestBody?.content["application/json"]?.schema.default !== undefined) requestBody.required = false;
  }
  return document;
}

/** What can go wrong, which is the same for all routes of a kind. */
function failuresOf({ security, body }: FastifySchema, url: string): Record<string, object> {
  if (security?.length === 0) return {};
  const codes = [...ALWAYS];
  if (body !== undefined) codes.push(...ON_SENDING);
  if (url.endsWith("predict")) codes.push(...ON_SUBMITTING);
  if (url.includes("/task")) codes.push(...ON_READING);
  if (url.includes("/:")) codes.push(...ON_NAMING);
  const failures: Record<string, object> = {};
  for (const status of new Set(codes.map((code) => ERRORS[code].status))) {
    const meanings = codes
      .filter((code) => ERRORS[code].status === status)
      .map((code) => `${code}: ${ERRORS[code].meaning}`);
    const headers = { ...REQUEST_ID, ...(status === 429 || status === 503 ? RETRY_AFTER : {}) };
    failures[status] = { ...FailureRef, description: meanings.join("; "), headers };
  }
  return failures;
}

const PREFER = {
  type: "object",
  properties: {
    prefer: {
      type: "string",
      description: "wait=N: hold the answer until the task ends, for N seconds at most (RFC 7240).",
      examples: ["wait=30"],
    },
  },
};

/**
 * A request's schema as clients should read it: our own keywords mean nothing to them, a field with a default is not required, and in
 * a body whatever is not required may be null.
 */
function forClients(schema: Schema, nullable: boolean): Schema {
  const { allowed: _allowed, maxBytes: _maxBytes, required = [], properties, items, ...rest } = schema;
  const clear = { ...rest, ...(items && { items: forClients(items, nullable) }) };
  if (properties === undefined) return clear;
  const wanted = required.filter((name) => properties[name]?.default === undefined);
  const fields = Object.entries(properties).map(([name, field]) => {
    const inner = forClients(field, nullable);
    return [name, nullable && !wanted.includes(name) ? orNull(inner) : inner];
  });
  return { ...clear, properties: Object.fromEntries(fields), ...(wanted.length > 0 && { required: wanted }) };
}

function orNull(schema: Schema): Schema {
  return { ...schema, type: [schema.type, "null"], ...(schema.enum && { enum: [...schema.enum, null] }) };
}
