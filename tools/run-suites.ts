/**
 * Runs suites of slow tests: all of them, or those that are named, or those whose files have changed. They follow each other in two rows at
 * once: those that mostly wait, or compute on one core, run beside the others, and their output comes when each has ended.
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

interface SuiteRun extends TestRun {
  readonly line: string;
}

async function runSuite(suite: Suite): Promise<SuiteRun> {
  const printed: string[] = [`Suite ${suite.name}\n`];
  if (suite.beside !== true) process.stdout.write(printed.pop()!);
  const start = performance.now();
  const beside = { write: (text: string) => void printed.push(text), atOnce: 1 };
  const run = await runTests(filesOf(suite), suite.beside === true ? beside : {});
  process.stdout.write(printed.join(""));
  const seconds = Math.round((performance.now() - start) / 1000);
  const verdict = run.passed ? "passed" : "FAILED";
  const slow = seconds > MOST ? `, which is more than ${MOST} s` : "";
  return { ...run, line: `${suite.name}: ${verdict} in ${seconds} s${slow}` };
}

async function runRow(suites: readonly Suite[]): Promise<SuiteRun[]> {
  const runs: SuiteRun[] = [];
  for (const suite of suites) runs.push(await runSuite(suite));
  return runs;
}

async function runAll(suites: readonly Suite[]): Promise<number> {
  const rows = [suites.filter(({ beside }) => beside !== true), suites.filter(({ beside }) => beside === true)];
  const runs = (await Promise.all(rows.map(runRow))).flat();
  for (const { line } of runs) console.log(line);
  const rest = SUITES.filter((suite) => !suites.includes(suite)).map(({ name }) => name);
  if (rest.length > 0) console.log(`Not run: ${rest.join(", ")}`);
  return conclude({
    passed: runs.every(({ passed }) => passed),
    durations: Object.assign({}, ...runs.map(({ durations }) => durations)) as TestRun["durations"],
    skipped: runs.flatMap(({ skipped }) => skipped),
    failures: runs.flatMap(({ failures }) => failures),
  });
}
