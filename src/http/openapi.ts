/** `GET /openapi.json`, made from the schemas that also check the requests. */
import swagger from "@fastify/swagger";
import { type FastifyInstance, type FastifySchema } from "fastify";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { FailureRef, SHARED_SCHEMAS } from "./schemas.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What each kind of route may be refused with, beside its own answers. */
const ALWAYS: ErrorCode[] = ["invalid_input", "unauthorized", "method_not_allowed", "rate_limited", "internal_error"];
const ON_READING: ErrorCode[] = ["store_unavailable"];
const ON_TASK: ErrorCode[] = ["not_found"];
const ON_SUBMITTING: ErrorCode[] = [
  "malformed_json",
  "prompt_too_long",
  "forbidden",
  "body_too_large",
  "unsupported_media_type",
  "queue_full",
  "draining",
  "no_usable_gpu",
  "store_unavailable",
];

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
    transform: ({ schema, url }) => ({ schema: withFailures(schema ?? {}, url), url }),
    transformObject: (document) =>
      forClients(("openapiObject" in document ? document.openapiObject : {}) as Json) as object,
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

/** Adds what can go wrong, which is the same for all routes of a kind. */
function withFailures(schema: FastifySchema, url: string): FastifySchema {
  const own = schema.response as Record<string, object>;
  const isOpen = schema.security?.length === 0;
  const codes = isOpen ? [] : [...ALWAYS, ...(schema.body ? ON_SUBMITTING : url.includes("/task") ? ON_READING : [])];
  if (url.includes(":task_id")) codes.push(...ON_TASK);
  const failures: Record<string, object> = {};
  for (const status of new Set(codes.map((code) => ERRORS[code].status))) {
    const meanings = codes
      .filter((code) => ERRORS[code].status === status)
      .map((code) => `${code}: ${ERRORS[code].meaning}`);
    const headers = { ...REQUEST_ID, ...(status === 429 || status === 503 ? RETRY_AFTER : {}) };
    failures[status] = { ...FailureRef, description: meanings.join("; "), headers };
  }
  const answers = Object.entries(own).map(([status, answer]) => [
    status,
    { description: status === "200" ? "Success" : "Not ready", ...answer, headers: REQUEST_ID },
  ]);
  const headers = url.endsWith("/predict") ? { headers: PREFER } : {};
  return { ...schema, ...headers, response: { ...Object.fromEntries(answers), ...failures } };
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

/** Our own keywords mean nothing to clients, and a field with a default is not required of them. */
function forClients(value: Json): Json {
  if (Array.isArray(value)) return value.map(forClients);
  if (value === null || typeof value !== "object") return value;
  const { allowed: _allowed, maxBytes: _maxBytes, required, ...rest } = value;
  const kept = Object.fromEntries(Object.entries(rest).map(([key, inner]) => [key, forClients(inner)]));
  if (required === undefined) return kept;
  if (!Array.isArray(required)) return { ...kept, required };
  const properties = rest["properties"] as Record<string, { default?: Json }> | undefined;
  const wanted = required.filter((name) => properties?.[String(name)]?.default === undefined);
  return wanted.length === 0 ? kept : { ...kept, required: wanted };
}
