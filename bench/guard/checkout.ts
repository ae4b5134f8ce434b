/** The commit of the last record under bench/results, checked out beside this one, to be compared with. */
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const ROOT = join(import.meta.dirname, "..", "..");
const RESULTS = join(ROOT, "bench", "results");
/** Ends the name of a commit whose files had been changed: nobody can check that out. */
const CHANGED = "-changed";

const run = promisify(execFile);

/** Another checkout of this project, ready to run. */
export interface Checkout {
  readonly folder: string;
  readonly commit: string;
}

/** Of a record, what tells where it was made. */
export interface Recorded {
  readonly commit: string;
  readonly date: string;
}

/** The packages of a package-lock.json, by their place in node_modules. */
export interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly dev?: boolean }>>;
}

/** The newest record of a commit as it is. @throws {Error} there is none */
export function lastOf(records: readonly Recorded[]): Recorded {
  const clean = records.filter(({ commit }) => !commit.endsWith(CHANGED));
  const last = clean.toSorted((a, b) => a.date.localeCompare(b.date)).at(-1);
  if (last === undefined)
    throw new Error("bench/results has no record of a commit: --checkout FOLDER names another one");
  return last;
}

/** Whether what one lock file wants to run stands in the other, too, place by place: then its node_modules serves. */
export function covers(ours: Lock, theirs: Lock): boolean {
  return Object.entries(theirs.packages).every(
    ([place, { version, dev }]) => place === "" || dev === true || ours.packages[place]?.version === version,
  );
}

/**
 * Checks the commit of the last record out into a temporary folder, which goes with `started`.
 * @throws {Error} there is no record, or no such commit in this clone
 */
export async function lastRecorded(started: AsyncDisposableStack): Promise<Checkout> {
  const files = readdirSync(RESULTS).filter((file) => file.endsWith(".json"));
  const { commit } = lastOf(files.map((file) => jsonOf<Recorded>(join(RESULTS, file))));
  const folder = mkdtempSync(join(tmpdir(), `guard-${commit}-`));
  const git = (...args: readonly string[]) => run("git", ["-C", ROOT, "worktree", ...args]);
  await git("add", "--detach", "--force", folder, commit).catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    const how = "git fetch --unshallow brings it, or --checkout FOLDER names another checkout";
    throw new Error(`commit ${commit}, which was recorded last, is not in this clone: ${how}`, { cause: error });
  });
  started.defer(async () => {
    await git("remove", "--force", folder);
    rmSync(folder, { recursive: true, force: true });
  });
  const [ours, theirs] = [ROOT, folder].map((root) => jsonOf<Lock>(join(root, "package-lock.json")));
  if (covers(ours!, theirs!)) {
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  } else {
    console.error(`Installing what commit ${commit} needs …`);
    await run("npm", ["ci", "--prefer-offline", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: folder,
    });
    // Its own Node comes by its script.
    await run("npm", ["rebuild", "node"], { cwd: folder });
  }
  return { folder, commit };
}

function jsonOf<Value>(file: string): Value {
  return JSON.parse(readFileSync(file, "utf8")) as Value;
}
