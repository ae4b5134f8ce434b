/** The reference of the API: what it makes of the server's own document. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test, { type TestContext } from "node:test";
import { curlOf, exampleOf, fieldsOf, found, groupsOf, limitsOf, typeOf } from "../src/dashboard/files/api/document.js";
import { KEYS, testServer } from "./helpers/http.ts";

type Document = Parameters<typeof groupsOf>[0];
type Operation = Parameters<typeof curlOf>[1];

// Its folder goes when the whole file has ended.
const server = testServer(test as unknown as TestContext);
const asked = { url: "/openapi.json", headers: { authorization: `Bearer ${KEYS.admin}` } };
const document: Document = (await server.app.inject(asked)).json();
const groups = groupsOf(document);
const operations = groups.flatMap((group) => group.operations);
const named = (id: string): Operation => operations.find((one) => one.id === id)!;
const bodyOf = (id: string) => named(id).requestBody!.content["application/json"]!.schema!;

/** What is found. */
function ids(sought: string): string[] {
  return found(groups, sought).flatMap((group) => group.operations.map(({ id }) => id));
}

test("every operation of the document is in one group", () => {
  const written = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  assert.equal(operations.length, written.length);
  assert.equal(new Set(operations.map(({ id }) => id)).size, written.length, "each has an address of its own");
  assert.ok(
    groups.every(({ description }) => description !== ""),
    "each group says what it is",
  );
});

test("what is searched is found by path, words and fields", () => {
  assert.equal(ids("").length, operations.length);
  assert.ok(ids("POST /predict").includes("predict"));
  assert.deepEqual(ids("cancel_on_disconnect"), ["predict"]);
  assert.ok(ids("DRAIN gpu").includes("drainGpu"));
  assert.deepEqual(ids("no such words anywhere"), []);
});

test("fields have their types, limits, defaults, and a dot where they are inside of others", () => {
  const fields = new Map(fieldsOf(document, bodyOf("predict")).map((field) => [field.name, field]));
  const { type, limits, standard, isRequired } = fields.get("max_length")!;
  assert.deepEqual([type, limits, standard, isRequired], ["integer | null", "≥ 1", 128, false]);
  assert.match(fields.get("gpu_options.strategy")!.type, /^"round_robin" \| /);
  assert.match(fields.get("messages[].role")!.type, /"system" \| "user"/);
  assert.equal(fields.get("temperature")!.limits, "0 … 1");
  const [answer] = Object.values(named("listGpus").responses["200"]!.content!);
  assert.ok(
    fieldsOf(document, answer!.schema!).some(({ name }) => name === "gpus[].instances[].state"),
    "references are followed",
  );
  assert.equal(typeOf(document, { type: "array", items: { type: ["string", "null"] } }), "(string | null)[]");
  assert.equal(limitsOf({ maximum: Number.MAX_SAFE_INTEGER, minimum: 0 }), "≥ 0");
});

test("a schema that has itself inside ends", () => {
  const schemas = {
    Tree: { type: "object", properties: { children: { type: "array", items: { $ref: "#/components/schemas/Tree" } } } },
  };
  const tree = { ...document, components: { schemas } };
  const fields = fieldsOf(tree, { $ref: "#/components/schemas/Tree" });
  assert.deepEqual(
    fields.map(({ name, type }) => [name, type]),
    [["children", "Tree[]"]],
  );
  assert.ok(JSON.stringify(exampleOf(tree, { $ref: "#/components/schemas/Tree" })).length < 1000);
});

test("a shell can run the line of every operation, which has no key in it", () => {
  for (const operation of operations) {
    const line = curlOf(document, operation, "http://127.0.0.1:8642");
    const script = `curl() { printf '%s\\0' "$@"; }\nALT_LAS_API_KEY=HERE\n${line}`;
    const given = execFileSync("sh", ["-c", script]).toString().split("\0");
    const url = given.find((word) => word.startsWith("http"))!;
    assert.ok(URL.canParse(url) && !url.includes("{"), url);
    assert.equal(given.includes("Authorization: Bearer HERE"), !operation.isOpen, operation.id);
    assert.doesNotMatch(line, /HERE/);
    const at = given.indexOf("-d");
    const isForm = operation.requestBody?.content["multipart/form-data"] !== undefined;
    if (isForm) assert.ok(given.includes("file=@FILE") && given.includes("purpose=batch"), line);
    else if (operation.requestBody) assert.equal(typeof JSON.parse(given[at + 1]!), "object", operation.id);
    assert.equal(
      given.includes("-X"),
      !(operation.method === "GET" || (operation.method === "POST" && operation.requestBody !== undefined)),
    );
  }
  const [url] = /http\S+/.exec(curlOf(document, named("getTask"), "http://a"))!;
  assert.match(url, /^http:\/\/a\/api\/v1\/task\/123e4567-/);
});

test("the line for a submission is one that the server takes", async () => {
  const line = curlOf(document, named("predict"), "");
  const body: unknown = JSON.parse(/-d '(.*)'/s.exec(line)![1]!);
  const payload = { method: "POST", url: "/api/v1/predict", headers: asked.headers, payload: body as object } as const;
  assert.equal((await server.app.inject(payload)).statusCode, 200);
});

test("/docs/api leads to the page, wherever a proxy has put it", async () => {
  for (const [url, to] of [
    ["/docs/api", "/#/api"],
    ["/docs/api/", "/#/api"],
  ] as const) {
    const { statusCode, headers } = await server.app.inject(url);
    assert.equal(statusCode, 302);
    const below = new URL(String(headers.location), `http://host/alt-las${url}`);
    assert.equal(below.href, `http://host/alt-las${to}`);
  }
});
