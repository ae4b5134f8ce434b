/** Which suites of slow tests a change concerns. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { testFiles } from "../tools/test-run.ts";
import { concerns, filesOf, recentChanges, SUITES } from "../tools/wide-suites.ts";
import { newFolder } from "./helpers/server.ts";

const DAY = 86_400;

function concerned(...changed: readonly string[]): string[] {
  return SUITES.filter((suite) => concerns(suite, changed)).map(({ name }) => name);
}

test("each slow test is in one suite, and each suite names files that are there", () => {
  assert.deepEqual(SUITES.flatMap(filesOf).toSorted(), testFiles("test/wide/*.test.ts"));
  for (const { name, dependsOn } of SUITES) {
    for (const glob of dependsOn) assert.ok(testFiles(glob).length > 0, `${name} names ${glob}`);
  }
});

test("a change concerns the suites that name its file, have it as a test, or depend on everything", () => {
  assert.deepEqual(concerned(), []);
  assert.deepEqual(concerned("LICENSE"), []);
  assert.deepEqual(concerned("LICENSE", "src/auth/keys.ts"), ["pack", "cluster-leader", "fuzz", "e2e"]);
  assert.deepEqual(concerned("examples/client.py"), ["clients", "own-examples"]);
  assert.deepEqual(concerned("src/engine/llama/llama.ts"), ["pack", "llama", "tools", "chaos", "soak"]);
  assert.deepEqual(concerned("test/wide/stop.test.ts"), ["processes"]);
  assert.equal(concerned("package-lock.json").length, SUITES.length);
});

test("changes are those of three days and those not committed; without a history anything may have changed", (t) => {
  const folder = newFolder(t);
  assert.equal(recentChanges(folder), null);
  const repository = join(folder, "repository");
  mkdirSync(repository);
  const git = (at: number, ...args: readonly string[]) => {
    const identity = {
      GIT_AUTHOR_NAME: "a",
      GIT_AUTHOR_EMAIL: "a@b",
      GIT_COMMITTER_NAME: "a",
      GIT_COMMITTER_EMAIL: "a@b",
    };
    const env = { ...process.env, ...identity, GIT_COMMITTER_DATE: `@${at} +0000`, GIT_CONFIG_GLOBAL: "/dev/null" };
    return spawnSync("git", ["-C", repository, ...args], { env, encoding: "utf8" });
  };
  const now = Math.round((performance.timeOrigin + performance.now()) / 1000);
  if (git(now, "init", "-q").error) return assert.equal(recentChanges(repository), null, "no git, no history");
  const commit = (name: string, at: number) => {
    writeFileSync(join(repository, name), name);
    git(at, "add", "-A");
    git(at, "commit", "-qm", name);
  };
  commit("old", now - 4 * DAY);
  assert.deepEqual(recentChanges(repository), []);
  commit("new", now - 2 * DAY);
  git(now - DAY, "mv", "new", "moved");
  git(now - DAY, "commit", "-qm", "moved");
  writeFileSync(join(repository, "written"), "");
  assert.deepEqual(recentChanges(repository)!.toSorted(), ["moved", "new", "written"]);
  git(now, "clone", "-q", "--depth", "1", `file://${repository}`, join(folder, "shallow"));
  assert.equal(recentChanges(join(folder, "shallow")), null);
});
