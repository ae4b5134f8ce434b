/**
 * Runs the fast tests, several files in a process: all but those of test/wide, which tools/run-suites.ts runs. Or the files that are named:
 *
 *     node tools/run-tests.ts [FILE…]
 *
 * The ten slowest files are named at the end, and what was skipped last of all. A skipped test is a failure, as it would hide
 * what was not tested. ALT_LAS_TEST_SKIPS=allow permits it, for where no package registry can be reached.
 */
import { resolve, relative } from "node:path";
import { conclude, ROOT, runTests, testFiles, WIDE } from "./test-run.ts";

const named = process.argv.slice(2).map((file) => relative(ROOT, resolve(file)));
const fast = testFiles("test/**/*.test.ts").filter((file) => !file.startsWith(WIDE));
process.exitCode = conclude(await runTests(named.length > 0 ? named : fast, { together: true }));
