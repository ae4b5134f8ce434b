/**
 * Makes a release here: checks, version, date in the changelog, commit, and a tag with the notes. It never pushes.
 *
 *     npm run release -- [VERSION] [--dry-run] [--guard]
 *
 *     VERSION      like 0.2.0; without it, the version that CHANGELOG.md calls Unreleased is offered
 *     --dry-run    says what would be done, and changes and checks nothing
 *     --guard      runs the guard bench, too, for which the machine has to be quiet: npm run bench -- guard
 *
 * One that was broken off goes on when it is begun again.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { npmShown } from "../src/common/npm.ts";
import { nextVersion } from "./release/changelog.ts";
import { type Check, Refusal, release } from "./release/release.ts";

const ROOT = join(import.meta.dirname, "..");
const GUARD = ["run", "bench", "--", "guard"];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { "dry-run": { type: "boolean", default: false }, guard: { type: "boolean", default: false } },
});

try {
  release({
    root: ROOT,
    version: positionals[0] ?? (await asked()),
    today: new Date().toISOString().slice(0, "2026-11-28".length),
    isDry: values["dry-run"],
    checks: checks(),
    say: (line) => console.log(line),
  });
  if (!values.guard) console.log(`Not run: npm ${GUARD.join(" ")}, which needs a quiet machine (--guard).`);
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function checks(): readonly Check[] {
  return [
    script("run", "check"),
    script("test"),
    { name: "npm run pack", run: packed },
    ...(values.guard ? [script(...GUARD)] : []),
  ];
}

function script(...args: readonly string[]): Check {
  return { name: `npm ${args.join(" ")}`, run: () => npmShown(args, ROOT) };
}

/** That it can be made is what counts: npm gets one that is made where it is published. */
function packed(): void {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-release-"));
  try {
    npmShown(["run", "pack", "--", folder], ROOT);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws {Refusal} there is nobody to ask */
async function asked(): Promise<string> {
  const offered = nextVersion(readFileSync(join(ROOT, "CHANGELOG.md"), "utf8"));
  const example = `npm run release -- ${offered ?? "1.2.3"}`;
  if (!process.stdin.isTTY) throw new Refusal(`Say which version: ${example}`);
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const said = await terminal.question(`Which version? ${offered === null ? "" : `[${offered}] `}`);
  terminal.close();
  return said.trim() || (offered ?? "");
}
