/**
 * Runs tests, a file on each core; by itself Node leaves a core idle, which is half of a machine that has two.
 *
 *     node tools/run-tests.ts          the fast ones: all but test/wide
 *     node tools/run-tests.ts --wide   those of test/wide: real clients, real servers of others, whole suites
 *     node tools/run-tests.ts FILE…    these
 *
 * In CI a test that is skipped is a failure, as it would hide what was not looked at. ALT_LAS_TEST_SKIPS=allow permits it, for where no
 * package registry can be reached.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, sep } from "node:path";

const CACHE = join(import.meta.dirname, "..", "node_modules", ".cache");
const WIDE = join("test", "wide") + sep;

const named = process.argv.slice(2);
const isWide = named[0] === "--wide";
const files = isWide || named.length === 0 ? allFiles().filter((file) => file.startsWith(WIDE) === isWide) : named;
const results = join(CACHE, `tests-${process.pid}.tap`);
mkdirSync(CACHE, { recursive: true });
const reporters = ["spec", "stdout", "tap", results].map(
  (value, index) => `--test-reporter${index % 2 === 0 ? "" : "-destination"}=${value}`,
);
const options = ["--test", `--test-concurrency=${availableParallelism()}`, ...reporters];
const { status } = spawnSync(process.execPath, [...options, ...files], { stdio: "inherit" });
const mayNotSkip = process.env.CI !== undefined && process.env.ALT_LAS_TEST_SKIPS !== "allow";
const skipped = mayNotSkip ? skippedTests() : [];
for (const test of skipped) console.error(`Skipped, which CI does not allow: ${test}`);
process.exitCode = status === 0 && skipped.length > 0 ? 1 : (status ?? 1);

function allFiles(): string[] {
  return globSync("test/**/*.test.ts", { cwd: join(import.meta.dirname, "..") }).toSorted();
}

function skippedTests(): string[] {
  const lines = readFileSync(results, "utf8").split("\n");
  return lines.flatMap((line) => /^\s*ok \d+ - (.* # SKIP.*)$/.exec(line)?.[1] ?? []);
}
