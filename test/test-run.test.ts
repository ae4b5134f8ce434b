/** Runs of test files: whatever becomes of a file, the run ends and says so. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { type RunOptions, ROOT, type TestRun } from "../tools/test-run.ts";

const PROGRAM = join(import.meta.dirname, "helpers", "run-files.ts");

interface Outcome extends Pick<TestRun, "passed" | "failures"> {
  /** The failures that were told at once. */
  readonly told: readonly string[];
}

/** Runs those of test/fixtures/test-files in a process of its own, as node:test runs no files within a test. */
async function outcomeOf(names: readonly string[], options: RunOptions): Promise<Outcome> {
  const asked = JSON.stringify({ ...options, files: names.map(fileOf) });
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const ours = { ALT_LAS_API_KEY: "k", ALT_LAS_DATA_DIR: "/srv", CREDENTIALS_DIRECTORY: "/run", container: "oci" };
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, asked], {
    cwd: ROOT,
    env: { ...env, ...ours },
  });
  return JSON.parse(stdout) as Outcome;
}

function fileOf(name: string): string {
  return `test/fixtures/test-files/${name}.ts`;
}

function cutOff(name: string): string {
  return `FAILED: ${fileOf(name)} (its process ended without its result)`;
}

test("two runs of groups do not disturb each other; files whose process exits are named", async () => {
  const [whole, left] = await Promise.all([
    outcomeOf(["a-passes"], { together: true }),
    outcomeOf(["a-passes", "b-exits", "c-fails"], { together: true }),
  ]);
  assert.deepEqual(whole, { passed: true, failures: [], told: [] });
  assert.equal(left.passed, false);
  // A process that exits may take along what had not left it yet.
  const others = left.failures.filter((failure) => failure !== cutOff("a-passes"));
  assert.deepEqual(others, [cutOff("b-exits"), cutOff("c-fails")]);
});

test("of files with a process of their own, each that fails or ends too soon is named", async () => {
  const { passed, failures, told } = await outcomeOf(["a-passes", "b-exits", "c-fails"], { atOnce: 1 });
  assert.equal(passed, false);
  assert.equal(failures.length, 2, failures.join("\n"));
  assert.match(failures[0]!, /^FAILED: it fails \(test\/fixtures\/test-files\/c-fails\.ts\)\n.*on purpose/);
  assert.equal(failures[1], cutOff("b-exits"));
  assert.deepEqual(told, failures);
});

test("what waits for ever is ended and named, alone and among others", async () => {
  for (const together of [true, false]) {
    const { passed, failures } = await outcomeOf(["d-waits"], { together, silence: 10 });
    assert.equal(passed, false);
    assert.equal(failures.at(-1), cutOff("d-waits"));
  }
});
