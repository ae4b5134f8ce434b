/** Runs test files, several at once, the longest first, and says what was slow and what was skipped. */
import {
  appendFileSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative, resolve, sep } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { grouped, isLong, type TestProcess } from "./test-groups.ts";

export const ROOT = join(import.meta.dirname, "..");
/** Tests that take long or need more than Node, Python and a C compiler. */
export const WIDE = join("test", "wide") + sep;
const CACHE = join(ROOT, "node_modules", ".cache");
const DURATIONS = join(CACHE, "test-durations.json");
/** More than there are cores, as files wait for the disk and for processes now and then. */
export const AT_ONCE = 2 * availableParallelism();
const SLOWEST = 10;
/** Of the error of a failed test that is repeated at the end: its lines, and characters of a line. */
const LINES_OF_FAILURE = 12;
const LINE_OF_FAILURE = 400;
/** Milliseconds without an event of any test after which the files that have not ended are named. */
const SILENCE = 60_000;
/** After so many times that long they are ended: no test takes as much. */
const PATIENCE = 10;
/** Variables that would give the tests' servers and commands the key, the data and the secrets of whoever runs the tests. */
const NOT_FOR_TESTS = [
  "ALT_LAS_API_KEY",
  "ALT_LAS_API_KEY_FILE",
  "ALT_LAS_DATA_DIR",
  "CREDENTIALS_DIRECTORY",
  "container",
];

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

export interface RunOptions {
  /** Takes what is printed. */
  readonly write?: (text: string) => void;
  /** Takes each failure at once: what is printed waits for the tests before it. */
  readonly tell?: (failure: string) => void;
  /** Processes that run at once. */
  readonly atOnce?: number;
  /** Several files share a process. */
  readonly together?: boolean;
  /** Milliseconds, as of `SILENCE`. */
  readonly silence?: number;
}

function print(text: string): void {
  process.stdout.write(text);
}

/** Runs test files and prints their tests. */
export async function runTests(files: readonly string[], options: RunOptions = {}): Promise<TestRun> {
  mkdirSync(CACHE, { recursive: true });
  for (const name of NOT_FOR_TESTS) delete process.env[name];
  // The tests' processes inherit it, and theirs. Without it each compiles anew what the one before has compiled.
  process.env["NODE_COMPILE_CACHE"] ??= join(CACHE, "compiled");
  if (options.together !== true) {
    return runProcesses(
      files.map((file) => ({ program: file, files: [file] })),
      options,
    );
  }
  // One for each run, as there may be others in this checkout.
  const folder = mkdtempSync(join(CACHE, "test-groups-"));
  try {
    return await runProcesses(grouped(files, folder), options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runProcesses(
  processes: readonly TestProcess[],
  { write = print, tell = () => {}, atOnce = AT_ONCE, silence = SILENCE }: RunOptions,
): Promise<TestRun> {
  const known = knownDurations();
  const longestFirst = processes.toSorted((a, b) => expected(b, known) - expected(a, known));
  const programs = longestFirst.map(({ program }) => program);
  const hung = new AbortController();
  const events = run({ files: programs, concurrency: atOnce, cwd: ROOT, signal: hung.signal });
  const isFile = new Set(processes.flatMap(({ files }) => files));
  const told = listen(events, isFile, tell);
  const watch = endSilence(events, new Set([...isFile, ...programs]), silence, hung);
  for await (const text of events.compose(spec)) write(text as string);
  clearInterval(watch);
  for (const file of cutOff(processes, told)) told.fail(`FAILED: ${file} (its process ended without its result)`);
  // Others may have run meanwhile.
  writeFileSync(DURATIONS, JSON.stringify({ ...knownDurations(), ...told.durations }));
  return told;
}

/** What a run has told so far. */
interface Told extends TestRun {
  passed: boolean;
  readonly durations: Record<string, number>;
  /** Programs that have run to their end, by their whole paths. */
  readonly atEnd: ReadonlySet<string>;
  readonly fail: (failure: string) => void;
}

function listen(
  events: ReturnType<typeof run>,
  isFile: ReadonlySet<string>,
  tell: NonNullable<RunOptions["tell"]>,
): Told {
  const [skipped, failures, atEnd]: [string[], string[], Set<string>] = [[], [], new Set()];
  const fail = (failure: string): void => {
    told.passed = false;
    failures.push(failure);
    tell(failure);
  };
  const told: Told = { passed: true, durations: {}, skipped, failures, atEnd, fail };
  // It comes at once, and test:fail when all tests before have ended.
  events.on("test:complete", ({ name, file = "", details }) => {
    if (isFile.has(name)) told.durations[name] = Math.round(details.duration_ms);
    if (details.error === undefined) return;
    // Of what has subtests, those that failed say more.
    const { failureType } = details.error as { failureType?: string };
    if (failureType !== "subtestsFailed") fail(failureOf(name, relative(ROOT, file), details.error));
  });
  events.on("test:fail", () => (told.passed = false));
  events.on("test:pass", ({ name, skip, file = "" }) => {
    if (skip !== undefined) skipped.push(`skipped: ${name} (${relative(ROOT, file)}): ${String(skip)}`);
  });
  events.on("test:summary", ({ success, file }) => {
    if (!success) told.passed = false;
    if (file !== undefined) atEnd.add(file);
  });
  return told;
}

/** The files whose process has ended without their results, as by process.exit(). */
function cutOff(processes: readonly TestProcess[], { atEnd, durations }: Told): string[] {
  const others = processes.filter(({ program }) => !atEnd.has(resolve(ROOT, program)));
  // One that runs alone is complete whenever its process has ended.
  return others.flatMap(({ program, files }) =>
    files.filter((file) => file === program || durations[file] === undefined),
  );
}

function failureOf(name: string, file: string, error: Error): string {
  const reason = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : error.message;
  const lines = reason.split("\n").slice(0, LINES_OF_FAILURE);
  return [`FAILED: ${name} (${file})`, ...lines.map((line) => `    ${line.slice(0, LINE_OF_FAILURE)}`)].join("\n");
}

/** Ends what never ends by itself, as something of it is still open: it holds back the output of all that come after it. */
function endSilence(
  events: ReturnType<typeof run>,
  watched: ReadonlySet<string>,
  silence: number,
  hung: AbortController,
): NodeJS.Timeout {
  const running = new Set<string>();
  let last = performance.now();
  const heard = (name: string, change: (file: string) => unknown): void => {
    last = performance.now();
    if (watched.has(name)) change(name);
  };
  events.on("test:dequeue", ({ name }) => heard(name, (begun) => running.add(begun)));
  events.on("test:complete", ({ name }) => heard(name, (ended) => running.delete(ended)));
  return setInterval(() => {
    const silent = performance.now() - last;
    if (silent >= silence) console.error(`Nothing happens in ${[...running].join(", ")}`);
    if (silent >= PATIENCE * silence) hung.abort();
  }, silence);
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
