/** Who may see and change whose things: every route of the document that names something, asked by everybody whom it could matter to. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { hashApiKey } from "../src/auth/secrets.ts";
import { linesText, chatLine } from "./helpers/batch-files.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";

/** All of them but `zelda` are asked about what is hers; each has its name as its key. */
const USERS = {
  zelda: { role: "user", team: "red" },
  colleague: { role: "user", team: "red" },
  stranger: { role: "user", team: "blue" },
  "red-viewer": { role: "viewer", team: "red" },
  "blue-viewer": { role: "viewer", team: "blue" },
  viewer: { role: "viewer", team: undefined },
  admin: { role: "admin", team: "blue" },
} as const;
type User = keyof typeof USERS;
const EVERYBODY = Object.keys(USERS) as User[];

/** The rule: its user, admins, and viewers that are not another team's. */
const MAY_SEE: readonly User[] = ["zelda", "red-viewer", "viewer", "admin"];
const MAY_CHANGE: readonly User[] = ["zelda", "admin"];
/** What has been asked, which viewers do not read. */
const ASKED = "GET /v1/files/{file_id}/content";
/** A response is its user's alone: the task API has its task. */
const OWN: ReadonlySet<string> = new Set(["response_id"]);

/** What a part of a path names. A new one has to be put here, or among those that are nobody's. */
const KINDS = {
  task_id: (server) => makeTask(server),
  batch_id: (server) => makeBatch(server),
  file_id: (server) => makeFile(server),
  response_id: (server) => makeResponse(server),
} as const satisfies Readonly<Record<string, (server: LocalServer) => Promise<string>>>;
type Kind = keyof typeof KINDS;
/** They belong to the server; test/access.test.ts has who may do what. */
const NOBODYS: ReadonlySet<string> = new Set(["gpu_id", "machine", "model", "name"]);

const UNKNOWN: Readonly<Record<Kind, string>> = {
  task_id: "01997d5e-2f00-7000-8000-000000000001",
  batch_id: "01997d5e-2f00-7000-8000-000000000001",
  file_id: "file-01997d5e2f0070008000000000000001",
  response_id: "resp_01997d5e2f0070008000000000000001",
};
const UNKNOWN_BATCH_OF_FILE = "batch_01997d5e2f0070008000000000000001";

/** Fields of requests that name something; what each names is asked below, or is nobody's. */
const FIELDS: ReadonlySet<string> = new Set(["batch_id", "task_ids", "input_file_id", "previous_response_id"]);
const HARMLESS: ReadonlySet<string> = new Set([
  "gpu_id",
  "specific_gpu_id",
  "pci_bus_id",
  "pci_bus_ids",
  "webhook_id",
  "last_event_id",
  "tool_call_id",
  "call_id",
  "custom_id",
]);

/** They stand in answers alone. */
const ANSWERED: ReadonlySet<string> = new Set([
  "request_id",
  "task_id",
  "output_file_id",
  "error_file_id",
  "gpu_ids",
  "first_id",
  "last_id",
  "tool_use_id",
]);

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly security?: readonly object[];
  readonly "x-roles"?: readonly string[];
}
interface Answer {
  readonly status: number;
  readonly body: string;
}

async function ask(server: LocalServer, user: User, method: string, path: string, body?: object): Promise<Answer> {
  const init =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const headers = { ...init.headers, authorization: `Bearer ${user}` };
  const response = await fetch(`${new URL(server.url).origin}${path}`, { ...init, method, headers });
  return { status: response.status, body: await response.text() };
}

async function made(server: LocalServer, path: string, body: object, field: string): Promise<string> {
  const { status, body: text } = await ask(server, "zelda", "POST", path, body);
  assert.equal(status, 200, text);
  return (JSON.parse(text) as Readonly<Record<string, string>>)[field]!;
}

/** Something of each kind that has ended, so that all of it can be asked for. */
async function makeTask(server: LocalServer): Promise<string> {
  const id = await made(server, "/api/v1/predict", { text: "secret" }, "task_id");
  await ask(server, "zelda", "GET", `/api/v1/task/${id}?wait=60`);
  return id;
}

async function makeBatch(server: LocalServer): Promise<string> {
  const id = await made(server, "/api/v1/batch_predict", { batch: [{ text: "secret" }] }, "batch_id");
  await ask(server, "zelda", "GET", `/api/v1/batch/${id}/results?follow=true`);
  return id;
}

async function makeFile(server: LocalServer): Promise<string> {
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new File([linesText([chatLine("one")])], `${crypto.randomUUID()}.jsonl`));
  const headers = { authorization: "Bearer zelda" };
  const response = await fetch(`${new URL(server.url).origin}/v1/files`, { method: "POST", body: form, headers });
  return ((await response.json()) as { id: string }).id;
}

async function makeBatchOfFile(server: LocalServer): Promise<string> {
  const body = { input_file_id: await makeFile(server), endpoint: "/v1/chat/completions", completion_window: "24h" };
  return made(server, "/v1/batches", body, "id");
}

function makeResponse(server: LocalServer): Promise<string> {
  return made(server, "/v1/responses", { model: "simulated", input: "secret" }, "id");
}

async function startedServer(t: TestContext): Promise<{ server: LocalServer; operations: Operation[]; text: string }> {
  const users = EVERYBODY.map((name) => {
    const { role, team } = USERS[name];
    return `{ name: ${name}, role: ${role}${team === undefined ? "" : `, team: ${team}`} }`;
  });
  const keys = EVERYBODY.map((name) => `{ name: ${name}, user: ${name}, sha256: "${hashApiKey(name)}" }`);
  const engine = "engine: { simulated: { tokens_per_second: 0 } }";
  const config = `auth: { users: [${users.join()}], keys: [${keys.join()}] }\napi: { ollama: true, anthropic: true }\n${engine}\n`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const { body: text } = await ask(server, "admin", "GET", "/openapi.json");
  const { paths } = JSON.parse(text) as { paths: Readonly<Record<string, Readonly<Record<string, object>>>> };
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, ...operation })),
  );
  return { server, operations, text };
}

/** What a path names; null: nothing. */
function kindIn(path: string): { readonly name: string; readonly isOfFile: boolean } | null {
  const [, name] = /\{(\w+)\}/.exec(path) ?? [];
  return name === undefined ? null : { name, isOfFile: path.startsWith("/v1/batches/") };
}

function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name);
}

test("what a user has is its own, its team's viewers' and admins'", async (t) => {
  const { server, operations, text } = await startedServer(t);
  const closed = operations.filter(({ security }) => security?.length !== 0);
  const named = closed.flatMap((operation) => {
    const kind = kindIn(operation.path);
    return kind === null || NOBODYS.has(kind.name) ? [] : [{ ...operation, kind }];
  });

  await t.test("of each route that names something it is known what that is", () => {
    for (const { method, path, kind } of named)
      assert.ok(isKind(kind.name), `${method} ${path}: say in KINDS or in NOBODYS whose a ${kind.name} is`);
    assert.ok(named.length > 20);
    const fields = new Set(text.matchAll(/"(\w+_ids?)":\{/g).map(([, field]) => field!));
    const unsaid = [...fields].filter((field) => ![FIELDS, HARMLESS, ANSWERED].some((all) => all.has(field)));
    assert.deepEqual(unsaid, [], "say in FIELDS, HARMLESS or ANSWERED what they name");
  });

  await t.test("totals count what a caller sees, whichever user it asks for", async () => {
    const total = async (user: User, query: string): Promise<number> =>
      (JSON.parse((await ask(server, user, "GET", `/api/v1/tasks?limit=1&${query}`)).body) as { total: number }).total;
    for (let count = 0; count < 3; count++) await makeTask(server);
    await ask(server, "stranger", "POST", "/api/v1/predict", { text: "other" });
    const [all, hers] = [await total("admin", ""), await total("zelda", "")];
    assert.deepEqual([all, hers], [4, 3]);
    assert.deepEqual([await total("viewer", ""), await total("viewer", "user=zelda")], [all, hers]);
    assert.deepEqual([await total("red-viewer", ""), await total("red-viewer", "user=zelda")], [hers, hers]);
    assert.deepEqual([await total("blue-viewer", ""), await total("blue-viewer", "user=zelda")], [1, 0]);
    assert.deepEqual([await total("blue-viewer", "user=stranger"), await total("colleague", "")], [1, 0]);
  });

  for (const { method, path, kind, "x-roles": roles = [] } of named) {
    await t.test(`${method} ${path}`, async () => {
      const { name, isOfFile } = kind;
      const make = (): Promise<string> => (isOfFile ? makeBatchOfFile(server) : KINDS[name as Kind](server));
      const askFor = async (user: User, id: string): Promise<Answer> => {
        const { status, body } = await ask(
          server,
          user,
          method,
          path.replace(`{${name}}`, id),
          method === "POST" ? {} : undefined,
        );
        return { status, body: body.replaceAll(id, "ID") };
      };
      const may = OWN.has(name) ? (["zelda"] as User[]) : method === "GET" ? MAY_SEE : MAY_CHANGE;
      const unknown = isOfFile ? UNKNOWN_BATCH_OF_FILE : UNKNOWN[name as Kind];
      let id = await make();
      // Those who may not first: what the others do changes it.
      for (const user of EVERYBODY.toSorted((one, other) => Number(may.includes(one)) - Number(may.includes(other)))) {
        const [answer, other] = [await askFor(user, id), await askFor(user, unknown)];
        const { role } = USERS[user];
        const what = `${user}: ${answer.status} ${answer.body}`;
        if (!may.includes(user)) {
          assert.equal(answer.status, roles.includes(role) ? 404 : 403, what);
          // Nobody learns whether it is there.
          assert.deepEqual(answer, other, user);
        } else if (`${method} ${path}` === ASKED && role === "viewer") assert.equal(answer.status, 403, what);
        else {
          assert.ok(![401, 403].includes(answer.status) && answer.status < 500, what);
          assert.notDeepEqual(answer, other, user);
        }
        // Each of those who may has one of its own, as it may be gone now.
        if (method !== "GET" && may.includes(user)) id = await make();
      }
    });
  }

  await t.test("nothing of it is in any other answer to those who may not see it", async () => {
    const ids = [
      await makeTask(server),
      await makeBatch(server),
      await makeFile(server),
      await makeBatchOfFile(server),
    ];
    const plain = closed.filter(
      ({ method, path }) => method === "GET" && kindIn(path) === null && !path.endsWith("/events"),
    );
    assert.ok(plain.length > 10);
    for (const { path, "x-roles": roles = [] } of plain) {
      for (const user of EVERYBODY) {
        if (!roles.includes(USERS[user].role) || USERS[user].role === "admin") continue;
        const { status, body } = await ask(server, user, "GET", path);
        if (path === "/metrics" && user.endsWith("-viewer")) assert.equal(status, 403, user);
        else assert.equal(status, 200, `${user}: ${path} ${body}`);
        if (MAY_SEE.includes(user)) continue;
        for (const id of [...ids, '"zelda"']) assert.ok(!body.includes(id), `${user} learns of ${id} from ${path}`);
      }
    }
    for (const [path, id] of [
      ["/api/v1/tasks?limit=1000", ids[0]],
      [`/api/v1/tasks?batch_id=${ids[1]}`, ids[1]],
      ["/v1/files", ids[2]],
      ["/v1/batches", ids[3]],
      ["/api/v1/usage", '"zelda"'],
      ["/api/v1/callers", '"zelda"'],
    ] as const)
      for (const user of EVERYBODY) {
        const { body } = await ask(server, user, "GET", path);
        assert.equal(body.includes(id!), MAY_SEE.includes(user), `${user} ${path}`);
      }
  });

  await t.test("what the body of a request names is looked up with its caller", async () => {
    const [file, response, task] = [await makeFile(server), await makeResponse(server), await makeTask(server)];
    const batch = { endpoint: "/v1/chat/completions", completion_window: "24h" };
    const asked: readonly (readonly [path: string, body: (id: string) => object, id: string, unknown: string])[] = [
      ["/v1/batches", (id) => ({ ...batch, input_file_id: id }), file, UNKNOWN.file_id],
      [
        "/v1/responses",
        (id) => ({ model: "simulated", input: "on", previous_response_id: id }),
        response,
        UNKNOWN.response_id,
      ],
    ];
    for (const [path, body, id, unknown] of asked)
      for (const user of ["colleague", "stranger"] as const) {
        const answer = await ask(server, user, "POST", path, body(id));
        assert.ok([400, 404].includes(answer.status), `${user} ${path}: ${answer.status} ${answer.body}`);
        const other = await ask(server, user, "POST", path, body(unknown));
        assert.deepEqual([other.status, other.body.replaceAll(unknown, id)], [answer.status, answer.body]);
      }
    for (const user of ["colleague", "stranger"] as const) {
      const { status, body } = await ask(server, user, "POST", "/api/v1/tasks/cancel", { task_ids: [task] });
      assert.deepEqual([status, (JSON.parse(body) as { canceled: number }).canceled], [200, 0], body);
    }
  });
});
