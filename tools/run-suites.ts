/**
 * Runs suites of slow tests, one after the other: all of them, or those that are named, or those whose files have changed.
 *
 *     node tools/run-suites.ts [NAME…]
 *     node tools/run-suites.ts --changed    those that the last three days' commits concern; with CI_WIDE=1 all
 *
 * A run ends as one of the fast tests does (run-tests.ts).
 */
import { conclude, ROOT, runTests, type TestRun } from "./test-run.ts";
import { concerns, filesOf, recentChanges, type Suite, SUITES } from "./wide-suites.ts";

/** Seconds that a suite may take on two quiet cores. */
const MOST = 240;

const names = process.argv.slice(2);
const unknown = names.find((name) => name !== "--changed" && !SUITES.some((suite) => suite.name === name));
if (unknown !== undefined) {
  console.error(`There is no suite ${unknown}; there are ${SUITES.map(({ name }) => name).join(", ")}.`);
  process.exitCode = 1;
} else {
  process.exitCode = await runAll(chosen());
}

function chosen(): readonly Suite[] {
  if (names.length === 0) return SUITES;
  if (!names.includes("--changed")) return SUITES.filter(({ name }) => names.includes(name));
  const changed = process.env["CI_WIDE"] === "1" ? null : recentChanges(ROOT);
  return changed === null ? SUITES : SUITES.filter((suite) => concerns(suite, changed));
}

async function runAll(suites: readonly Suite[]): Promise<number> {
  const runs: TestRun[] = [];
  const times: string[] = [];
  for (const suite of suites) {
    console.log(`Suite ${suite.name}`);
    const start = performance.now();
    runs.push(await runTests(filesOf(suite)));
    const seconds = Math.round((performance.now() - start) / 1000);
    const verdict = runs.at(-1)!.passed ? "passed" : "FAILED";
    times.push(`${suite.name}: ${verdict} in ${seconds} s${seconds > MOST ? `, which is more than ${MOST} s` : ""}`);
  }
  for (const line of times) console.log(line);
  const rest = SUITES.filter((suite) => !suites.includes(suite)).map(({ name }) => name);
  if (rest.length > 0) console.log(`Not run: ${rest.join(", ")}`);
  return conclude({
    passed: runs.every(({ passed }) => passed),
    durations: Object.assign({}, ...runs.map(({ durations }) => durations)) as TestRun["durations"],
    skipped: runs.flatMap(({ skipped }) => skipped),
    failures: runs.flatMap(({ failures }) => failures),
  });
}
