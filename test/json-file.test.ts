/** What becomes of small files in the data directory. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { writeJsonFile } from "../src/common/json-file.ts";
import { temporaryFolder } from "./helpers/http.ts";

const HOUR = 3600;

test("what a killed process left of a file is removed by the next that writes it, and nothing else is", (t) => {
  const folder = temporaryFolder(t);
  const now = Date.now() / 1000;
  const made = (name: string, age: number): void => {
    writeFileSync(join(folder, name), "{");
    utimesSync(join(folder, name), now - age, now - age);
  };
  made("gpus.json.0123456789ab.tmp", 2 * HOUR);
  made("gpus.json.ba9876543210.tmp", HOUR / 2);
  made("gpus.json.tmp", 2 * HOUR);
  made("other.json.0123456789ab.tmp", 2 * HOUR);
  writeJsonFile(join(folder, "gpus.json"), [1]);
  assert.deepEqual(readdirSync(folder).toSorted(), [
    "gpus.json",
    "gpus.json.ba9876543210.tmp",
    "gpus.json.tmp",
    "other.json.0123456789ab.tmp",
  ]);
  assert.equal(readFileSync(join(folder, "gpus.json"), "utf8"), "[\n  1\n]\n");
});
