/** `npm run release`, on a clone of this repository. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { compareVersions, nextVersion, sectionOf } from "../../tools/release/changelog.ts";
import { Refusal, release, type ReleaseOptions } from "../../tools/release/release.ts";
import { temporaryFolder } from "../helpers/http.ts";
import { ROOT } from "../helpers/server.ts";

const NOTES = "### Added\n\n- A thing.";
const [YESTERDAY, TODAY, TOMORROW] = ["2031-02-02", "2031-02-03", "2031-02-04"] as const;

class Break extends Error {}

class Clone {
  readonly root: string;
  readonly said: string[] = [];
  readonly ran: string[] = [];

  /** The branch main, with a version 9.1.0 that is ready to be released. */
  constructor(t: TestContext) {
    this.root = join(temporaryFolder(t), "clone");
    execFileSync("git", ["clone", "--quiet", "--shared", "--no-checkout", ROOT, this.root], { stdio: "pipe" });
    this.git("config", "user.name", "Somebody");
    this.git("config", "user.email", "somebody@localhost");
    // What is looked at, and no more of the thousand files.
    this.git("sparse-checkout", "set", "--no-cone", "/*.md", "/*.json", "/docs/upgrading.md");
    this.git("switch", "--quiet", "--force-create", "main");
    this.git("reset", "--quiet", "--hard");
    const changelog = this.read("CHANGELOG.md").replace("\n## [", `\n## [9.1.0] - Unreleased\n\n${NOTES}\n\n## [`);
    this.write("CHANGELOG.md", changelog);
    this.write("docs/upgrading.md", `${this.read("docs/upgrading.md")}\n## From 9.0.0 to 9.1.0\n`);
    this.git("commit", "--quiet", "--all", "--message", "Ready");
  }

  git(...args: readonly string[]): string {
    return execFileSync("git", args, { cwd: this.root, encoding: "utf8", stdio: "pipe" }).trimEnd();
  }

  read(name: string): string {
    return readFileSync(join(this.root, name), "utf8");
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.root, name), text);
  }

  release(options: Partial<ReleaseOptions> = {}): void {
    const checks = ["check", "test", "pack"].map((name) => ({ name, run: () => void this.ran.push(name) }));
    release({
      root: this.root,
      version: "9.1.0",
      today: TODAY,
      isDry: false,
      checks,
      say: (line) => void this.said.push(line),
      ...options,
    });
  }

  refused(sentence: RegExp, options: Partial<ReleaseOptions> = {}): void {
    const head = this.git("rev-parse", "HEAD");
    assert.throws(
      () => this.release(options),
      (error) => error instanceof Refusal && sentence.test(error.message),
    );
    assert.deepEqual([this.git("rev-parse", "HEAD"), this.git("tag", "--list", "v9*")], [head, ""]);
  }

  /** What a release has to leave, whatever came before. */
  assertReleased(): void {
    for (const name of ["package.json", "package-lock.json"])
      assert.equal((JSON.parse(this.read(name)) as { version: string }).version, "9.1.0");
    const lock = JSON.parse(this.read("package-lock.json")) as { packages: Record<string, { version: string }> };
    assert.equal(lock.packages[""]!.version, "9.1.0");
    assert.deepEqual(sectionOf(this.read("CHANGELOG.md"), "9.1.0"), { date: TODAY, notes: NOTES });
    assert.equal(this.git("status", "--porcelain"), "");
    assert.equal(this.git("log", "-2", "--format=%s"), "Release 9.1.0\nReady");
    assert.equal(this.git("rev-parse", "v9.1.0^{commit}"), this.git("rev-parse", "HEAD"));
    assert.equal(this.git("tag", "--list", "--format=%(contents)", "v9.1.0"), `ALT_LAS 9.1.0\n\n${NOTES}`);
    assert.deepEqual(this.git("show", "--format=", "--name-only").split("\n"), [
      "CHANGELOG.md",
      "package-lock.json",
      "package.json",
    ]);
  }
}

test("a release that is broken off at any step goes on when it is begun again, and is made once", (t) => {
  const clone = new Clone(t);
  const written = [
    "look",
    "check",
    "test",
    "pack",
    "write package.json",
    "write package-lock.json",
    "write CHANGELOG.md",
  ];
  const breakOff = (last: string, today: string): void => {
    const before = (step: string): void => {
      if (step === last) throw new Break();
    };
    assert.throws(() => clone.release({ today, before }), Break, last);
    assert.equal(clone.git("tag", "--list", "v9*"), "", "the tag is the last step");
  };
  for (const step of written) breakOff(step, YESTERDAY);
  // A date that was written stays.
  breakOff("commit", TODAY);
  breakOff("tag", TOMORROW);
  clone.release({ today: TOMORROW });
  clone.assertReleased();
});

test("a dry run says everything and does nothing; a release pushes nothing; what is released already is not made again", (t) => {
  const clone = new Clone(t);
  const [head, remote] = [clone.git("rev-parse", "HEAD"), clone.git("ls-remote", "--tags", "origin")];
  clone.release({ isDry: true });
  assert.deepEqual([clone.git("rev-parse", "HEAD"), clone.git("status", "--porcelain"), clone.ran], [head, "", []]);
  const said = clone.said.join("\n");
  for (const part of [/^ {2}check$/m, /package\.json, package-lock\.json, CHANGELOG\.md: written/, /git tag v9\.1\.0/])
    assert.match(said, part);
  assert.ok(said.includes(NOTES));
  clone.release();
  clone.assertReleased();
  assert.deepEqual(clone.ran, ["check", "test", "pack"]);
  assert.equal(clone.git("ls-remote", "--tags", "origin"), remote);
  assert.match(clone.said.at(-1)!, /git push --atomic origin main v9\.1\.0$/);
  clone.release();
  assert.equal(clone.said.at(-1), "v9.1.0 is there already, at the last commit.");
  assert.equal(clone.ran.length, 3);
});

test("a release is refused where what it would be made of is not what is committed on main, or nobody has described it", (t) => {
  const clone = new Clone(t);
  clone.refused(/^"9\.1" is no version like/, { version: "9.1" });
  clone.refused(/^"v9\.1\.0" is no version like/, { version: "v9.1.0" });
  clone.refused(/^CHANGELOG\.md has no heading "## \[9\.2\.0\] - Unreleased"/, { version: "9.2.0" });
  clone.write("new.ts", "");
  clone.refused(/^Not committed here: new\.ts\./);
  clone.git("clean", "--quiet", "--force");
  clone.write("package.json", clone.read("package.json").replace("MIT", "GPL"));
  clone.refused(/^Not committed here: package\.json\./);
  clone.git("checkout", "--quiet", "package.json");
  clone.git("switch", "--quiet", "--create", "other");
  clone.refused(/^This is the branch other\./);
  clone.git("switch", "--quiet", "main");
  const meddle = {
    name: "meddle",
    run: () => void clone.git("commit", "--quiet", "--allow-empty", "--message", "Meanwhile"),
  };
  assert.throws(() => clone.release({ checks: [meddle] }), /Somebody has committed meanwhile/);
  const failing = {
    name: "check",
    run: () => {
      throw new Break();
    },
  };
  assert.throws(() => clone.release({ checks: [failing] }), Break);
  assert.equal(clone.git("status", "--porcelain"), "", "nothing is written before all checks have succeeded");
  clone.git("tag", "v9.3.0");
  assert.throws(() => clone.release(), /9\.1\.0 is older than 9\.3\.0/);
  clone.git("tag", "v9.1.0", "HEAD~1");
  assert.throws(() => clone.release(), /v9\.1\.0 is there already, at another commit/);
});

test("a changelog says which version comes next, and what is said of each", () => {
  const changelog =
    "# Changelog\n\n## [0.10.0] - Unreleased\n\nNew.\n\n## [0.9.1] - 2030-01-02\n\n### Fixed\n\n- It.\n";
  assert.equal(nextVersion(changelog), "0.10.0");
  assert.deepEqual(sectionOf(changelog, "0.10.0"), { date: null, notes: "New." });
  assert.deepEqual(sectionOf(changelog, "0.9.1"), { date: "2030-01-02", notes: "### Fixed\n\n- It." });
  assert.equal(sectionOf(changelog, "0.9"), null);
  assert.throws(() => sectionOf("## [1.0.0] soon\n", "1.0.0"), /neither in a date nor in "- Unreleased"/);
  assert.deepEqual(["0.10.0", "0.9.1", "1.0.0"].toSorted(compareVersions), ["0.9.1", "0.10.0", "1.0.0"]);
});
