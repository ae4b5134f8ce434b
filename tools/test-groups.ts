/**
 * Puts test files into groups, each of which is run in one process (test-group.ts): to start a process and load the server into it costs
 * more than most files do. A group has neighbours in the alphabet, which often load the same modules; so it is the same group at each run.
 */
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";

/** Files of a group. With more of them the last group to end would keep the machine waiting. */
const SIZE = 16;

/** Files that take longest. They begin first, each in a process of its own. */
const LONG: ReadonlySet<string> = new Set([
  "earlier-data",
  "engine-conformance",
  "sqlite-store",
  "store-conformance",
  "store-lists",
  "store-records",
]);

export function isLong(file: string): boolean {
  return LONG.has(nameOf(file));
}

/** Files that need a process of their own, and why. */
const ALONE: ReadonlyMap<string, string> = new Map([
  ["in-flight", "It measures the heap of its process."],
  ["object-shapes", "It counts what the modules of its process have used up."],
  ["own-authority", "It has its process trust another authority."],
  ["standby", "It has its process trust other authorities."],
]);

/** One process of tests. */
export interface TestProcess {
  /** The module that it runs. */
  readonly program: string;
  readonly files: readonly string[];
}

/**
 * @param files paths from the root
 * @param folder for the programs of the groups; it is there
 */
export function grouped(files: readonly string[], folder: string): TestProcess[] {
  const [alone, rest] = [true, false].map((is) =>
    files.filter((file) => (ALONE.has(nameOf(file)) || isLong(file)) === is),
  );
  const groups = Array.from({ length: Math.ceil(rest!.length / SIZE) }, (_, index) =>
    rest!.toSorted().slice(index * SIZE, (index + 1) * SIZE),
  );
  return [
    ...alone!.map((file) => ({ program: file, files: [file] })),
    ...groups.map((group) => withProgram(group, folder)),
  ];
}

function withProgram(files: readonly string[], folder: string): TestProcess {
  // A failed process is named by its program.
  const program = join(folder, `${nameOf(files[0]!)}--${nameOf(files.at(-1)!)}.mjs`);
  const runner = new URL("test-group.ts", import.meta.url).href;
  writeFileSync(program, `import { runTogether } from "${runner}";\nawait runTogether(${JSON.stringify(files)});\n`);
  return { program, files };
}

function nameOf(file: string): string {
  return basename(file, ".test.ts");
}
