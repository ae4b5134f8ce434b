/**
 * A release, as steps that each either were done or were not, so that one which was broken off goes on when it is begun again:
 *
 *   1. look     refuses where a release cannot begin, and finds out how far an earlier one came
 *   2. check    npm run check, npm test, the package; each time anew, as nothing says what an earlier run has found
 *   3. write    the version into package.json and package-lock.json, the date into CHANGELOG.md
 *   4. commit   these three files
 *   5. tag      vVERSION with the notes of the changelog, at that commit
 *
 * Nothing is ever pushed.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { compareVersions, dated, sectionOf, VERSION } from "./changelog.ts";

export interface ReleaseOptions {
  readonly root: string;
  readonly version: string;
  /** Like 2026-11-28. */
  readonly today: string;
  /** Look, and say what would be done. */
  readonly isDry: boolean;
  /** What has to succeed before anything is written. */
  readonly checks: readonly Check[];
  readonly say: (line: string) => void;
  /** For tests: called before each step. */
  readonly before?: (step: string) => void;
}

export interface Check {
  readonly name: string;
  /** @throws when it fails */
  run(): void;
}

/** A release cannot begin, or go on, for a reason that is one sentence. */
export class Refusal extends Error {}

const BRANCH = "main";
const MANIFEST = "package.json";
const LOCK = "package-lock.json";
const CHANGELOG = "CHANGELOG.md";
const UPGRADING = "docs/upgrading.md";

/** What the first step has found. */
interface Found {
  readonly head: string;
  readonly notes: string;
  /** The three files as the release has them, by name. */
  readonly files: ReadonlyMap<string, string>;
  /** Whether the last commit has them so. */
  readonly isCommitted: boolean;
}

/** @throws {Refusal}; what a check throws */
export function release(options: ReleaseOptions): void {
  const { version, isDry, checks, say, before = () => {} } = options;
  before("look");
  const found = look(options);
  if (found === null) return say(`v${version} is there already, at the last commit.`);
  if (isDry) return tell(options, found);
  for (const check of checks) {
    before(check.name);
    say(`${check.name} …`);
    check.run();
  }
  // Whoever has worked here meanwhile has made something that was not checked.
  if (look(options)?.head !== found.head) throw new Refusal("Somebody has committed meanwhile. Begin again.");
  if (!found.isCommitted) commit(options, found);
  before("tag");
  git(options.root, ["tag", "--annotate", "--cleanup=verbatim", "--file=-", `v${version}`], messageOf(options, found));
  say(`v${version} is made, here alone. To publish it: git push --atomic origin ${BRANCH} v${version}`);
}

function messageOf({ version }: ReleaseOptions, { notes }: Found): string {
  return `ALT_LAS ${version}\n\n${notes}\n`;
}

/** What a dry run says. */
function tell(options: ReleaseOptions, { files, isCommitted, ...found }: Found): void {
  const { version, checks, say } = options;
  say("Nothing is changed. This would be done:");
  for (const { name } of checks) say(`  ${name}`);
  if (!isCommitted) say(`  ${[...files.keys()].join(", ")}: written and committed`);
  say(`  git tag v${version}, with this message:`);
  say("");
  say(messageOf(options, { ...found, files, isCommitted }));
}

/** @returns null: the release has been made. @throws {Refusal} */
function look(options: ReleaseOptions): Found | null {
  const { root, version, today } = options;
  if (!VERSION.test(version)) throw new Refusal(`${JSON.stringify(version)} is no version like 1.2.3.`);
  const branch = git(root, ["rev-parse", "--abbrev-ref", "HEAD"]);
  if (branch !== BRANCH) throw new Refusal(`This is the branch ${branch}. A release is made on ${BRANCH}.`);
  const head = git(root, ["rev-parse", "HEAD"]);
  if (isTagged(root, version, head)) return null;
  const committed = new Map(
    [MANIFEST, LOCK, CHANGELOG].map((name) => [name, git(root, ["show", `HEAD:${name}`], null)]),
  );
  const section = sectionOf(committed.get(CHANGELOG)!, version);
  if (section === null) throw new Refusal(`${CHANGELOG} has no heading "## [${version}] - Unreleased".`);
  if (section.notes === "") throw new Refusal(`${CHANGELOG} says nothing of ${version}.`);
  const headings = git(root, ["show", `HEAD:${UPGRADING}`])
    .split("\n")
    .filter((line) => line.startsWith("## From "));
  if (!headings.some((line) => line.endsWith(` to ${version}`)))
    throw new Refusal(`${UPGRADING} has no heading "## From … to ${version}".`);
  // An earlier run may have written the files on another day.
  const date = section.date ?? dateIn(root, version) ?? today;
  const files = new Map([
    [MANIFEST, withVersion(committed.get(MANIFEST)!, version)],
    [LOCK, withVersion(committed.get(LOCK)!, version)],
    [CHANGELOG, dated(committed.get(CHANGELOG)!, version, date)],
  ]);
  refuseChanges(root, files);
  const isCommitted = [...files].every(([name, text]) => committed.get(name) === text);
  return { head, notes: section.notes, files, isCommitted };
}

/** Whether the tag is there, at this commit. @throws {Refusal} it is elsewhere, or a later version's is there */
function isTagged(root: string, version: string, head: string): boolean {
  const tags = git(root, ["tag", "--list", "v*"]).split("\n");
  const versions = tags.map((tag) => tag.slice(1)).filter((one) => VERSION.test(one));
  if (versions.includes(version)) {
    if (git(root, ["rev-parse", `v${version}^{commit}`]) === head) return true;
    throw new Refusal(
      `v${version} is there already, at another commit. A version that was released is never made again.`,
    );
  }
  const latest = versions.toSorted(compareVersions).at(-1);
  if (latest !== undefined && compareVersions(version, latest) < 0)
    throw new Refusal(`${version} is older than ${latest}, which has been released.`);
  return false;
}

function dateIn(root: string, version: string): string | null {
  return sectionOf(readFileSync(join(root, CHANGELOG), "utf8"), version)?.date ?? null;
}

/** @throws {Refusal} something here is not committed, beside what an earlier run has written */
function refuseChanges(root: string, files: ReadonlyMap<string, string>): void {
  const lines = git(root, ["status", "--porcelain", "--untracked-files=all"]).split("\n");
  const changed = lines.filter((line) => line !== "").map((line) => line.replace(/^..? /, ""));
  const foreign = changed.filter(
    (name) => !files.has(name) || readFileSync(join(root, name), "utf8") !== files.get(name),
  );
  if (foreign.length > 0) throw new Refusal(`Not committed here: ${foreign.join(", ")}. Commit it, or put it away.`);
}

/** A manifest or a lock of npm's with another version of its own package, and not a letter changed beside it. */
function withVersion(json: string, version: string): string {
  const { version: own, lockfileVersion } = JSON.parse(json) as { version: string; lockfileVersion?: number };
  // The lock has it for itself, and for the package in the empty path; both stand before all others.
  let left = lockfileVersion === undefined ? 1 : 2;
  return json.replaceAll(`"version": "${own}"`, (found) => (left-- > 0 ? `"version": "${version}"` : found));
}

function commit({ root, version, before = () => {} }: ReleaseOptions, { files }: Found): void {
  // Where git does not look for files: one that is half written must not be taken for somebody's.
  const half = resolve(root, git(root, ["rev-parse", "--git-dir"]), "release-file");
  for (const [name, text] of files) {
    before(`write ${name}`);
    writeFileSync(half, text);
    renameSync(half, join(root, name));
  }
  before("commit");
  git(root, ["commit", "--quiet", "--message", `Release ${version}`, "--", ...files.keys()]);
}

/** @param input null: what it prints is returned as it is; else given to it, and the ends of lines around its answer are left out */
function git(root: string, args: readonly string[], input: string | null = ""): string {
  const said = execFileSync("git", args, {
    cwd: root,
    encoding: "utf8",
    input: input ?? "",
    stdio: ["pipe", "pipe", "pipe"],
    maxBuffer: Infinity,
  });
  return input === null ? said : said.trimEnd();
}
