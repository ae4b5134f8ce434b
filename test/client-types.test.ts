/** The clients in clients/ know the API as it is. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Document } from "../tools/client-types/schemas.ts";
import { GENERATED, SCHEMAS, stampOf, textOf } from "../tools/client-types.ts";
import { AS, testServer } from "./helpers/http.ts";

const ROOT = join(import.meta.dirname, "..");
const MAKE = "run node tools/client-types.ts";

test("the clients' schemas are those of the server", async (t) => {
  const response = await testServer(t).app.inject({ url: "/openapi.json", headers: AS.admin });
  assert.equal(textOf(response.json<Document>()), readFileSync(SCHEMAS, "utf8"), MAKE);
});

test("the clients' types are made of their schemas", () => {
  const stamp = stampOf(readFileSync(SCHEMAS, "utf8"));
  for (const path of GENERATED)
    assert.ok(
      readFileSync(join(ROOT, "clients", path), "utf8")
        .split("\n", 1)[0]!
        .includes(stamp),
      `${path}: ${MAKE}`,
    );
});

test("the list of examples has each of them, and nothing else", () => {
  const folder = join(ROOT, "examples");
  const listed = readFileSync(join(folder, "README.md"), "utf8").matchAll(/\[[^\]]+\]\(([^./][^):]*)\)/g);
  const there = readdirSync(folder).filter((name) => name !== "README.md" && name !== "__pycache__");
  assert.deepEqual(Array.from(listed, ([, name]) => name!).toSorted(), there.toSorted());
});
