/**
 * Runs suites of slow tests: all of them, or those that are named, or those whose files have changed. They follow each other in three rows
 * at once, so that the last file of a suite never runs alone: those that mostly wait, or compute on one core, run beside two of the others.
 * Of several suites, failures are told at once, and the output comes when each has ended.
 *
 *     node tools/run-suites.ts [NAME…]
 *     node tools/run-suites.ts --changed    those that the last three days' commits concern; with CI_WIDE=1 all
 *
 * A run ends as one of the fast tests does (run-tests.ts).
 */
import { AT_ONCE, conclude, ROOT, type RunOptions, runTests, type TestRun } from "./test-run.ts";
import { concerns, filesOf, recentChanges, type Suite, SUITES } from "./wide-suites.ts";

/** Seconds that a suite may take on two quiet cores. */
const MOST = 240;
/** Files of a suite that run at once, unless it is beside the others. */
const ROW = Math.ceil(AT_ONCE / 2);

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

/** @param alone no other suite runs */
async function runSuite(suite: Suite, alone: boolean): Promise<SuiteRun> {
  const printed: string[] = [];
  console.log(`Suite ${suite.name} begins`);
  const start = performance.now();
  const held: RunOptions = { write: (text) => void printed.push(text), tell: (failure) => console.log(failure) };
  const atOnce = filesAtOnce(suite, alone);
  const run = await runTests(filesOf(suite), alone ? { atOnce } : { ...held, atOnce });
  process.stdout.write([`Suite ${suite.name}\n`, ...printed].join(""));
  const seconds = Math.round((performance.now() - start) / 1000);
  const verdict = run.passed ? "passed" : "FAILED";
  const slow = seconds > MOST ? `, which is more than ${MOST} s` : "";
  return { ...run, line: `${suite.name}: ${verdict} in ${seconds} s${slow}` };
}

function filesAtOnce({ beside }: Suite, alone: boolean): number {
  if (beside === true) return 1;
  return alone ? AT_ONCE : ROW;
}

/** Runs what is left, the row's own kind first. */
async function runRow(queues: readonly Suite[][], alone: boolean): Promise<SuiteRun[]> {
  const runs: SuiteRun[] = [];
  for (;;) {
    const next = queues.find((queue) => queue.length > 0)?.shift();
    if (next === undefined) return runs;
    runs.push(await runSuite(next, alone));
  }
}

async function runAll(suites: readonly Suite[]): Promise<number> {
  const beside = suites.filter((suite) => suite.beside === true);
  const others = suites.filter((suite) => suite.beside !== true);
  const rows = [
    [others, beside],
    [others, beside],
    [beside, others],
  ];
  const runs = (await Promise.all(rows.map((queues) => runRow(queues, suites.length === 1)))).flat();
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
