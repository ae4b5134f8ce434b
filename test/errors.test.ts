import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { ERRORS } from "../src/errors.ts";

test("docs/errors.md lists every error code with its status and meaning", () => {
  const page = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8");
  const rows = page.matchAll(/^\| `(.+?)` \| (\d+) \| (.+?) \|$/gm);
  const listed = [...rows].map(([, code, status, meaning]) => [code, { status: Number(status), meaning }]);
  assert.deepEqual(listed, Object.entries(ERRORS));
});
