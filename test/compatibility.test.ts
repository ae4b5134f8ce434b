/** The API and the configuration only grow: what was written for an earlier version works with this one. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ConfigSchema } from "../src/config/config.ts";
import { type ApiDocument, documentLosses, type Schema, schemaLosses } from "./helpers/compatibility.ts";
import { AS, testServer } from "./helpers/http.ts";

const SAMPLING = ["max_length", "temperature"];

/** Each stands in docs/upgrading.md. */
const EXPECTED_API_CHANGES: readonly string[] = [
  // Of a task that was asked under /v1 without a maximum, or for vectors, which no client of 0.1.0 could.
  ...[
    "POST /api/v1/predict 200",
    "GET /api/v1/task/{task_id} 200",
    "DELETE /api/v1/task/{task_id} 200",
    "GET /api/v1/tasks 200.tasks.*",
    "POST /api/v1/task/{task_id}/cancel 200",
  ].flatMap((where) => [
    `${where}.max_length: its type was integer,null and is integer`,
    // An answer of predict may have had three fields alone.
    ...(where.includes("predict") ? [] : SAMPLING.map((name) => `${where}.${name} is not always there any more`)),
  ]),
  // A batch of which every task was canceled.
  'GET /api/v1/batch/{batch_id} 200.status: "canceled" is new there',
  'POST /api/v1/batch/{batch_id}/cancel 200.status: "canceled" is new there',
];
const EXPECTED_CONFIG_CHANGES: readonly string[] = [
  // Names may have letters of any script now, beside those of before.
  ".auth.users[].name: its pattern changed",
  ".auth.keys[].name: its pattern changed",
  ".auth.keys[].user: its pattern changed",
  ".store.cache_bytes: its default changed to 16777216",
];

function promised<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`fixtures/0.1.0/${name}`, import.meta.url), "utf8")) as T;
}

test("whatever a client of 0.1.0 sends or reads is still there, but for the changes named here", async (t) => {
  const { app } = testServer(t);
  const response = await app.inject({ url: "/openapi.json", headers: AS.viewer });
  assert.deepEqual(documentLosses(promised("openapi.json"), response.json<ApiDocument>()), EXPECTED_API_CHANGES);
});

test("a configuration of 0.1.0 means the same, but for the changes named here", () => {
  const now = JSON.parse(JSON.stringify(ConfigSchema)) as Schema;
  assert.deepEqual(schemaLosses(promised("config-schema.json"), now, "sent"), EXPECTED_CONFIG_CHANGES);
});

const BEFORE: Schema = {
  type: "object",
  properties: {
    text: { type: "string", minLength: 1, maxBytes: 100 },
    strategy: { enum: ["a", "b"], default: "a" },
    url: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
    share: { type: ["number", "null"], minimum: 0, maximum: 1 },
  },
  required: ["text"],
  additionalProperties: false,
};

function changed(name: string, property: Schema | undefined, rest: Partial<Schema> = {}): Schema {
  const { [name]: _gone, ...kept } = BEFORE.properties ?? {};
  return { ...BEFORE, ...rest, properties: property === undefined ? kept : { ...kept, [name]: property } };
}

const LOSSES: readonly [what: string, after: Schema, sent: RegExp | null, received: RegExp | null][] = [
  ["nothing", BEFORE, null, null],
  ["a new field", changed("new", { type: "string" }), null, null],
  ["a field less", changed("share", undefined), /\.share is gone/, /\.share is gone/],
  ["a new required field", changed("n", {}, { required: ["text", "n"] }), /\.n is required now/, null],
  ["a new field with a default", changed("n", { default: 1 }, { required: ["text", "n"] }), null, null],
  ["a field that may be missing", { ...BEFORE, required: [] }, null, /\.text is not always there any more/],
  ["a choice less", changed("strategy", { enum: ["a"], default: "a" }), /"b" is refused now/, null],
  ["a new choice", changed("strategy", { enum: ["a", "b", "c"], default: "a" }), null, /"c" is new there/],
  ["another default", changed("strategy", { enum: ["a", "b"], default: "b" }), /its default changed to "b"/, null],
  ["less room", changed("text", { type: "string", minLength: 1, maxBytes: 99 }), /maxBytes was 100 and is 99/, null],
  ["more room", changed("text", { type: "string", maxBytes: 100 }), null, /minLength was -Infinity and is 1/],
  ["another type", changed("text", { type: "integer" }), /its type was string/, /its type was integer/],
  ["no null", changed("share", { type: "number", minimum: 0, maximum: 1 }), /its type was number,null/, null],
  ["a new pattern", changed("text", { type: "string", minLength: 1, maxBytes: 100, pattern: "^a" }), /pattern/, null],
  ["an alternative less", changed("url", { type: "string" }), /has no counterpart/, null],
];

for (const [what, after, sent, received] of LOSSES) {
  test(`the comparison finds ${what}`, () => {
    for (const [direction, expected] of [
      ["sent", sent],
      ["received", received],
    ] as const) {
      const losses = schemaLosses(BEFORE, after, direction).join("\n");
      if (expected === null) assert.equal(losses, "", direction);
      else assert.match(losses, expected, direction);
    }
  });
}

test("the comparison finds a route, a parameter, an answer and a header that are gone", () => {
  const operation = {
    operationId: "get",
    parameters: [{ in: "query", name: "wait", schema: { type: "integer" } }],
    responses: { 200: { headers: { "X-Request-Id": {} }, content: { "application/json": { schema: BEFORE } } } },
  };
  const components = { schemas: {} };
  const before: ApiDocument = { components, paths: { "/task": { get: operation } } };
  const after = (now: object): ApiDocument => ({ components, paths: { "/task": { get: { ...operation, ...now } } } });
  assert.deepEqual(documentLosses(before, before), []);
  assert.deepEqual(documentLosses(before, { components, paths: {} }), ["GET /task is gone"]);
  assert.deepEqual(documentLosses(before, after({ parameters: [] })), ["GET /task query wait is gone"]);
  assert.deepEqual(documentLosses(before, after({ responses: {} })), ["GET /task 200 is gone"]);
  const bare = { 200: { content: operation.responses[200].content } };
  assert.deepEqual(documentLosses(before, after({ responses: bare })), ["GET /task 200 header X-Request-Id is gone"]);
});

/** A document as its reader has it. */
const UPGRADING = readFileSync(new URL("../docs/upgrading.md", import.meta.url), "utf8");

function keysOf({ properties }: Schema, path: readonly string[] = []): string[] {
  if (properties === undefined) return [path.join(".")];
  return Object.entries(properties).flatMap(([name, part]) => keysOf(part, [...path, name]));
}

/** The names in a route's path are written `<like_this>` there. */
function isTold(route: string): boolean {
  const name = route.replace(/^\/api\/v1/, "").split(/\{[^}]+\}/);
  return new RegExp(`${name.map((part) => RegExp.escape(part)).join("<\\w+>")}(?![\\w/])`).test(UPGRADING);
}

test("every key and every route that 0.1.0 had not is in docs/upgrading.md", async (t) => {
  const before = new Set(keysOf(promised("config-schema.json")));
  const keys = keysOf(ConfigSchema as unknown as Schema).filter((key) => !before.has(key));
  assert.deepEqual(
    keys.filter((key) => !UPGRADING.includes(key)),
    [],
  );
  const { app } = testServer(t);
  const { paths } = (await app.inject({ url: "/openapi.json", headers: AS.viewer })).json<ApiDocument>();
  const known = promised<ApiDocument>("openapi.json").paths;
  const routes = Object.keys(paths).filter((path) => path.startsWith("/api/v1/") && known[path] === undefined);
  assert.ok(routes.length > 0 && !isTold("/api/v1/nowhere"));
  assert.deepEqual(
    routes.filter((path) => !isTold(path)),
    [],
  );
});
