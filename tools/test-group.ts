/** Runs test files one after the other in this process. */
import assert from "node:assert/strict";
import { after, suite } from "node:test";

/** Milliseconds: any time will do. */
const DAY = 86_400_000;

/**
 * Each file is a suite of its name, which begins when the one before has ended. It fails when it leaves something behind that would
 * change what the next one sees.
 * @param files paths from the root
 */
export async function runTogether(files: readonly string[]): Promise<void> {
  // Else a test that waits for something that keeps no process alive would be the last one. One that waits for ever is ended by test-run.ts.
  const alive = setInterval(() => {}, DAY);
  for (const file of files) {
    const before = surroundings();
    await suite(file, async () => {
      await import(new URL(`../${file}`, import.meta.url).href);
      // After those of the file, as hooks run in the order in which they were made.
      after(() => assert.deepEqual(changesSince(before), [], `${file} leaves the process otherwise than it was`));
    });
  }
  clearInterval(alive);
}

/** What belongs to the whole process, by name. */
function surroundings(): ReadonlyMap<string, unknown> {
  return new Map<string, unknown>([
    ...Object.entries(process.env).map(([name, value]) => [`the variable ${name}`, value] as const),
    ["the working directory", process.cwd()],
    ["the umask", process.umask()],
    ["the exit code", process.exitCode],
  ]);
}

/** @returns names, and no values: some are secret */
function changesSince(before: ReadonlyMap<string, unknown>): string[] {
  const now = surroundings();
  return [...new Set([...before.keys(), ...now.keys()])].filter((name) => before.get(name) !== now.get(name));
}
