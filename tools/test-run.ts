/** Runs test files, several at once, the longest first, and says what was slow and what was skipped. */
import { appendFileSync, globSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative, sep } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { grouped, isLong, type TestProcess } from "./test-groups.ts";

export const ROOT = join(import.meta.dirname, "..");
/** Tests that take long or need more than Node, Python and a C compiler. */
export const WIDE = join("test", "wide") + sep;
const CACHE = join(ROOT, "node_modules", ".cache");
const DURATIONS = join(CACHE, "test-durations.json");
const GROUPS = join(CACHE, "test-groups");
/** More than there are cores, as files wait for the disk and for processes now and then. */
export const AT_ONCE = 2 * availableParallelism();
const SLOWEST = 10;
/** Of the error of a failed test that is repeated at the end: its lines, and characters of a line. */
const LINES_OF_FAILURE = 12;
const LINE_OF_FAILURE = 400;
/** Milliseconds without an event of any test after which the files that have not ended are named. */
const SILENCE = 60_000;

/** Milliseconds by file. */
type Durations = Readonly<Record<string, number>>;

export interface TestRun {
  readonly passed: boolean;
  readonly durations: Durations;
  /** A line for each skipped test, with its reason. */
  readonly skipped: readonly string[];
  /** Each failed test, with the first lines of its error. */
  readonly failures: readonly string[];
}

/** Paths below ROOT that fit the globs, sorted. */
export function testFiles(...globs: readonly string[]): string[] {
  // The clients of others that are installed below test/ bring tests of their own.
  return globSync(globs, { cwd: ROOT, exclude: ["**/node_modules/**"] }).toSorted();
}

interface RunOptions {
  /** Takes what is printed. */
  readonly write?: (text: string) => void;
  /** Processes that run at once. */
  readonly atOnce?: number;
  /** Several files share a process. */
  readonly together?: boolean;
}

/** Runs test files and prints their tests. */
export async function runTests(
  files: readonly string[],
  { write = (text) => void process.stdout.write(text), atOnce = AT_ONCE, together = false }: RunOptions = {},
): Promise<TestRun> {
  mkdirSync(CACHE, { recursive: true });
  // The tests' processes inherit it, and theirs. Without it each compiles anew what the one before has compiled.
  process.env["NODE_COMPILE_CACHE"] ??= join(CACHE, "compiled");
  const known = knownDurations();
  const durations: Record<string, number> = {};
  const skipped: string[] = [];
  const failures: string[] = [];
  let passed = true;
  const isFile = new Set(files);
  const processes = together ? grouped(files, GROUPS) : files.map((file) => ({ program: file, files: [file] }));
  const longestFirst = processes.toSorted((a, b) => expected(b, known) - expected(a, known));
  const events = run({ files: longestFirst.map(({ program }) => program), concurrency: atOnce, cwd: ROOT });
  events.on("test:fail", ({ name, file = "", details }) => {
    passed = false;
    // Of a file, the tests that failed say more.
    if (isFile.has(name) && (details.error as { failureType?: string }).failureType === "subtestsFailed") return;
    failures.push(failureOf(name, relative(ROOT, file), details.error));
  });
  events.on("test:pass", ({ name, skip, file = "" }) => {
    if (skip !== undefined) skipped.push(`skipped: ${name} (${relative(ROOT, file)}): ${String(skip)}`);
  });
  events.on("test:summary", ({ success }) => {
    if (!success) passed = false;
  });
  events.on("test:complete", ({ name, details }) => {
    if (isFile.has(name)) durations[name] = Math.round(details.duration_ms);
  });
  const watch = tellOfSilence(events, new Set([...files, ...processes.map(({ program }) => program)]));
  for await (const text of events.compose(spec)) write(text as string);
  clearInterval(watch);
  // Others may have run meanwhile.
  writeFileSync(DURATIONS, JSON.stringify({ ...knownDurations(), ...durations }));
  return { passed, durations, skipped, failures };
}

function failureOf(name: string, file: string, error: Error): string {
  const reason = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : error.message;
  const lines = reason.split("\n").slice(0, LINES_OF_FAILURE);
  return [`FAILED: ${name} (${file})`, ...lines.map((line) => `    ${line.slice(0, LINE_OF_FAILURE)}`)].join("\n");
}

/** A file that never ends, as something of it is still open, holds back the output of all that come after it. */
function tellOfSilence(events: ReturnType<typeof run>, watched: ReadonlySet<string>): NodeJS.Timeout {
  const running = new Set<string>();
  let last = performance.now();
  const heard = (name: string, change: (file: string) => unknown): void => {
    last = performance.now();
    if (watched.has(name)) change(name);
  };
  events.on("test:dequeue", ({ name }) => heard(name, (begun) => running.add(begun)));
  events.on("test:complete", ({ name }) => heard(name, (ended) => running.delete(ended)));
  return setInterval(() => {
    if (performance.now() - last >= SILENCE) console.error(`Nothing happens in ${[...running].join(", ")}`);
  }, SILENCE);
}

/** The last lines of a run: the slowest files, what was skipped, and what failed: of a long run only the end may be kept. @returns the exit code */
export function conclude({ passed, durations, skipped, failures }: TestRun): number {
  const slowest = Object.entries(durations)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, SLOWEST);
  console.log("The slowest files:");
  for (const [file, ms] of slowest) console.log(`${(ms / 1000).toFixed(1).padStart(7)} s  ${file}`);
  for (const line of [...skipped, ...failures]) console.log(line);
  const { ALT_LAS_TEST_SKIPS, ALT_LAS_TEST_SKIPPED } = process.env;
  // .ci/run prints the skipped tests of both stages again at its end.
  if (ALT_LAS_TEST_SKIPPED !== undefined)
    appendFileSync(ALT_LAS_TEST_SKIPPED, skipped.map((line) => `${line}\n`).join(""));
  const maySkip = skipped.length === 0 || ALT_LAS_TEST_SKIPS === "allow";
  if (!maySkip) {
    console.log(
      "A skipped test is a failure. .ci/run installs what they need; ALT_LAS_TEST_SKIPS=allow lets them pass.",
    );
  }
  return passed && maySkip ? 0 : 1;
}

/** How long its files took the last time they ran here; its size stands in for one that never ran, unless that takes long. */
function expected({ files }: TestProcess, known: Durations): number {
  return files.reduce((sum, file) => sum + (known[file] ?? guessed(file)), 0);
}

function guessed(file: string): number {
  return isLong(file) ? Infinity : statSync(join(ROOT, file)).size;
}

function knownDurations(): Durations {
  try {
    return JSON.parse(readFileSync(DURATIONS, "utf8")) as Durations;
  } catch {
    return {}; // The first run here, or one that was cut off while it wrote.
  }
}
