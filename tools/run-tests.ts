/**
 * Runs tests, several files at once, the longest first.
 *
 *     node tools/run-tests.ts          the fast ones: all but test/wide
 *     node tools/run-tests.ts --wide   those of test/wide: real clients, real servers of others, whole suites
 *     node tools/run-tests.ts FILE…    these
 *
 * The ten slowest files are named at the end, and what was skipped last of all. A skipped test is a failure, as it would hide
 * what was not looked at. ALT_LAS_TEST_SKIPS=allow permits it, for where no package registry can be reached.
 */
import { globSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative, sep } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const ROOT = join(import.meta.dirname, "..");
const CACHE = join(ROOT, "node_modules", ".cache");
const DURATIONS = join(CACHE, "test-durations.json");
const WIDE = join("test", "wide") + sep;
const END_TO_END = join("test", "e2e") + sep;
/** One more than there are cores for every two, as files wait for the disk and for processes now and then. */
const AT_ONCE = Math.ceil(1.5 * availableParallelism());
const SLOWEST = 10;

process.chdir(ROOT);
mkdirSync(CACHE, { recursive: true });
// Also for what the tests start: a test's process spends half its time on compiling what the one before has compiled.
process.env["NODE_COMPILE_CACHE"] ??= join(CACHE, "compiled");

const named = process.argv.slice(2);
const isWide = named[0] === "--wide";
const files = isWide || named.length === 0 ? allFiles().filter((file) => file.startsWith(WIDE) === isWide) : named;
const known = knownDurations();
const durations = new Map<string, number>();
const skipped: string[] = [];
let failed = false;

const events = run({ files: files.toSorted((a, b) => expected(b) - expected(a)), concurrency: AT_ONCE });
events.on("test:fail", () => (failed = true));
events.on("test:pass", ({ name, skip, file }) => {
  if (skip !== undefined) skipped.push(`skipped: ${name} (${file && relative(ROOT, file)}): ${String(skip)}`);
});
events.on("test:summary", ({ file, success, duration_ms }) => {
  if (!success) failed = true;
  if (file !== undefined) durations.set(relative(ROOT, file), Math.round(duration_ms));
});
for await (const text of events.compose(spec)) process.stdout.write(text);

writeFileSync(DURATIONS, JSON.stringify({ ...known, ...Object.fromEntries(durations) }));
const slowest = [...durations].toSorted(([, a], [, b]) => b - a).slice(0, SLOWEST);
console.log("The slowest files:");
for (const [file, ms] of slowest) console.log(`${(ms / 1000).toFixed(1).padStart(7)} s  ${file}`);
for (const line of skipped) console.log(line);
const maySkip = process.env["ALT_LAS_TEST_SKIPS"] === "allow";
if (skipped.length > 0 && !maySkip) {
  console.log("A skipped test is a failure. .ci/run installs what they need; ALT_LAS_TEST_SKIPS=allow lets them pass.");
}
process.exitCode = failed || (skipped.length > 0 && !maySkip) ? 1 : 0;

function allFiles(): string[] {
  return globSync("test/**/*.test.ts").toSorted();
}

/** Milliseconds a file took the last time it ran here; the lines of a file that never ran stand in for them. */
function expected(file: string): number {
  const unknown = file.startsWith(END_TO_END) ? Infinity : statSync(file).size;
  return known[file] ?? unknown;
}

function knownDurations(): Record<string, number> {
  try {
    return JSON.parse(readFileSync(DURATIONS, "utf8")) as Record<string, number>;
  } catch {
    return {}; // The first run here, or one that was cut off while it wrote.
  }
}
