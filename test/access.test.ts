/** Who may call which route: every route of the document, for every role, and for keys that are held to scopes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type InjectOptions, type LightMyRequestResponse } from "fastify";
import { hashApiKey } from "../src/auth/secrets.ts";
import { parseConfig, ROLES, type Role, type Scope, SCOPES } from "../src/config/config.ts";
import { aCompletedTask, API, ID, MODEL, testServer } from "./helpers/http.ts";

/** What the routes ask for, a line each: method, path, roles, scope. A new route is to be added by hand, after some thought. */
const RULES = new URL("fixtures/access.txt", import.meta.url);

interface Operation {
  readonly security?: readonly object[];
  readonly "x-roles"?: readonly Role[];
  readonly "x-scope"?: Scope | null;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

interface Caller {
  readonly role: Role;
  /** null: its key is held to nothing. */
  readonly scope: Scope | null;
}
const CALLERS: readonly Caller[] = ROLES.flatMap((role) => [null, ...SCOPES].map((scope) => ({ role, scope })));

const keyOf = ({ role, scope }: Caller): string => `${role}-${scope ?? "all"}`;

/** A user of each role, with a key for each scope and one for all. */
function everybody(): string {
  const users = ROLES.map((role) => `{ name: ${role}, role: ${role} }`);
  const keys = CALLERS.map((caller) => {
    const scopes = caller.scope === null ? "" : `, scopes: [${caller.scope}]`;
    const name = keyOf(caller);
    return `{ name: ${name}, user: ${caller.role}, sha256: "${hashApiKey(name)}"${scopes} }`;
  });
  return `auth: { users: [${users.join(", ")}], keys: [${keys.join(", ")}] }\napi: { ollama: true, anthropic: true }\n`;
}

/** Whether it needs no credentials. */
function isOpen({ security }: Operation): boolean {
  return security?.length === 0;
}

test("of every route in the document", async (t) => {
  const { app } = testServer(t, parseConfig(everybody(), "test.yaml"));

  function ask(method: string, path: string, caller: Caller | null): Promise<LightMyRequestResponse> {
    const headers = caller === null ? {} : { authorization: `Bearer ${keyOf(caller)}` };
    const request = { method: method as InjectOptions["method"] & string, url: path.replace(/\{\w+\}/g, "0"), headers };
    if (method === "GET" || method === "DELETE") return app.inject(request);
    // A body that no route takes, so that nothing is done for those who may.
    return app.inject({ ...request, headers: { ...headers, "content-type": "application/json" }, payload: "[" });
  }

  const document = (await ask("GET", "/openapi.json", { role: "admin", scope: null })).json<Document>();
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, ...operation })),
  );
  const closed = operations.filter((operation) => !isOpen(operation));

  await t.test("the rules are those that are written down", () => {
    const rules = closed.map(
      ({ method, path, "x-roles": roles = [], "x-scope": scope }) =>
        `${method} ${path} ${roles.join()} ${scope ?? "any"}`,
    );
    assert.deepEqual(rules.toSorted(), readFileSync(RULES, "utf8").trim().split("\n").toSorted());
  });

  await t.test("nobody gets in without credentials", async () => {
    for (const { method, path, ...operation } of operations) {
      const { statusCode } = await ask(method, path, null);
      assert.equal(statusCode === 401, !isOpen(operation), `${method} ${path}: ${statusCode}`);
    }
  });

  await t.test("each role and each scope gets where the rules let it, and nowhere else", async () => {
    for (const { method, path, "x-roles": roles = [], "x-scope": needed = null } of closed) {
      for (const caller of CALLERS) {
        const may = roles.includes(caller.role) && (needed === null || [null, needed].includes(caller.scope));
        // It never ends for those who may.
        if (may && path.endsWith("/events")) continue;
        const { statusCode, body } = await ask(method, path, caller);
        const what = `${method} ${path} as ${keyOf(caller)}: ${statusCode} ${body.slice(0, 200)}`;
        assert.equal(statusCode === 403, !may, what);
      }
    }
  });
});

test("an admin's key without the scope admin does nothing to what is others'", async (t) => {
  const { app, tasks } = testServer(t, parseConfig(everybody(), "test.yaml"));
  tasks.tasks = [aCompletedTask()];
  const ask = (method: "POST" | "DELETE", url: string, key: string, payload = {}) =>
    app.inject({ method, url: `${API}${url}`, headers: { authorization: `Bearer ${key}` }, payload });
  const others: ["POST" | "DELETE", string, object?][] = [
    ["POST", `/task/${ID}/cancel`],
    ["POST", `/task/${ID}/retry`],
    ["POST", `/task/${ID}/webhooks`],
    ["POST", "/tasks/cancel", { user: "user" }],
    ["DELETE", `/task/${ID}`],
  ];
  for (const [method, url, payload] of others) {
    const { statusCode } = await ask(method, url, "admin-submit", payload);
    assert.ok([403, 404].includes(statusCode), `${method} ${url}: ${statusCode}`);
  }
  assert.equal((await ask("DELETE", `/task/${ID}`, "admin-all")).statusCode, 200);
  const unload = { model: MODEL.name, keep_alive: 0 };
  const headers = { authorization: "Bearer admin-submit" };
  const refused = await app.inject({ method: "POST", url: "/api/generate", headers, payload: unload });
  assert.match(refused.json().error, /^Unloading models needs the role admin and a key with the scope admin/);
});
