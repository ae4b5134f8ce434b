/** A data directory that another user owns, which one start with sudo is enough for. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { foreignOwner, makeDataDir, rootAmongOthers } from "../src/common/data-folder.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { BIN } from "./helpers/server.ts";

const NOBODY = 65_534;
// Where these tests themselves run in a container.
setEnvironment({ after }, { container: undefined });

const DENIED = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });

test("whose the folder is gets said, and as whom to run, where that is why something was refused", (t) => {
  if (process.geteuid === undefined) return t.skip("this system's files have no owners");
  const folder = temporaryFolder(t);
  const me = process.geteuid();
  assert.equal(foreignOwner(folder, DENIED, me), null, "it is one's own");
  assert.equal(foreignOwner(folder, Object.assign(new Error("none"), { code: "ENOENT" }), me + 1), null);
  const said = foreignOwner(folder, DENIED, 54_321)!;
  assert.ok(said.startsWith(`The data directory ${folder} belongs to another user, `), said);
  assert.ok(said.endsWith(`or give the folder to yours with: sudo chown -R 54321 ${folder}`), said);
  if (me !== 0) return;
  const inside = foreignOwner(join(folder, "none", "data"), DENIED, 54_321)!;
  assert.ok(inside.includes(`data cannot be used, because ${folder} belongs to another user, root`), inside);
  assert.match(inside, /root: name a folder of your own with --data-dir, or, if the data are that user's, run this as/);
  assert.match(said, /another user, root: run this as that user \(sudo\)/);
  writeFileSync(join(folder, "credentials.json"), "");
  chownSync(join(folder, "credentials.json"), 54_322, 54_322);
  assert.match(foreignOwner(folder, DENIED, 0)!, /another user, number 54322: .* \(sudo -u '#54322'\)/);
});

test("a server and the commands refuse root's folder with that sentence, and change nothing", (t) => {
  if (process.geteuid?.() !== 0) return t.skip("only root can run something as somebody else");
  const folder = temporaryFolder(t);
  const run = (...words: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [BIN, ...words, "--data-dir", folder], {
      uid: NOBODY,
      gid: NOBODY,
      cwd: "/",
      encoding: "utf8",
      env: { PATH: process.env["PATH"] },
    });
    return { status, said: stderr.split("\n").filter((line) => line !== "" && !line.startsWith("{")) };
  };
  chmodSync(folder, 0o700);
  const refused = (words: string[]) => {
    const { status, said } = run(...words);
    assert.equal(status, 1, words.join(" "));
    assert.equal(said.length, 1, said.join("\n"));
    assert.match(said[0]!, /belongs to another user, root/);
  };
  refused(["users", "list"]);
  // A file that everybody may read, in a folder that everybody may look into.
  writeFileSync(join(folder, "credentials.json"), '{"version":1,"users":[],"keys":[]}');
  chmodSync(folder, 0o755);
  refused(["serve", "--port", "0", "--devices", "simulated:1"]);
  new DatabaseSync(join(folder, "alt-las.db")).close();
  refused(["backup", join(folder, "b.tar")]);
  // Its own, and closed all the same: as where a disk is mounted read-only.
  for (const path of [folder, join(folder, "credentials.json")]) chownSync(path, NOBODY, NOBODY);
  rmSync(join(folder, "alt-las.db"));
  chmodSync(folder, 0o500);
  const { status, said } = run("users", "add", "bob", "--role", "user");
  const denied = `EACCES: permission denied, access '${folder}'`;
  const sentence = `The data directory ${folder} cannot be written: ${denied}. Name another one with --data-dir.`;
  assert.deepEqual([status, said], [1, [sentence]]);
});

test("a file in the place of the data directory is told as such", (t) => {
  const file = join(temporaryFolder(t), "file");
  writeFileSync(file, "");
  const end = "Name another one with --data-dir.";
  const said = (path: string, why: string) => `The data directory "${path}" cannot be made: ${why}. ${end}`;
  assert.throws(() => makeDataDir(file), { message: said(file, "a file is in its way") });
  const below = join(file, "data");
  assert.throws(() => makeDataDir(below), { message: said(below, "a file is in its way") });
});

test("root leaves nothing of its own in another user's folder, unless it has served there before", (t) => {
  if (process.geteuid?.() !== 0) return t.skip("only root can give a folder to somebody else");
  const folder = temporaryFolder(t);
  assert.equal(rootAmongOthers(folder), null, "it is root's");
  chownSync(folder, 54_321, 54_321);
  const sentence = `The data directory ${folder} belongs to another user, number 54321, who could not use what root writes there: run this as that user (sudo -u '#54321'), or give the folder to yours with: sudo chown -R root ${folder}`;
  assert.throws(() => makeDataDir(folder), { code: "bad_config", message: sentence });
  assert.deepEqual(readdirSync(folder), []);
  assert.equal(rootAmongOthers(folder, 54_321), null, "it is one's own");
  writeFileSync(join(folder, "alt-las.db"), "");
  assert.equal(rootAmongOthers(folder), null, "root has served there");
  chownSync(join(folder, "alt-las.db"), 54_321, 54_321);
  assert.equal(rootAmongOthers(folder), sentence);
});

test("in a container the sentences say what to do where it was started", (t) => {
  if (process.geteuid?.() !== 0) return t.skip("only root can give a folder to somebody else");
  setEnvironment(t, { container: "oci" });
  const folder = temporaryFolder(t);
  const give = "give the folder that is mounted there to number 10001, on the host: sudo chown -R 10001 FOLDER";
  const ofRoot = `The data directory ${folder} belongs to another user, root: ${give}`;
  assert.equal(foreignOwner(folder, DENIED, 10_001), ofRoot);
  chownSync(folder, 54_321, 54_321);
  const whose = `The data directory ${folder} belongs to another user, number 54321`;
  const start = "start the container with --user 54321:54321";
  assert.equal(foreignOwner(folder, DENIED, 10_001), `${whose}: ${start}, or ${give}`);
  assert.equal(rootAmongOthers(folder), `${whose}, who could not use what root writes there: ${start}.`);
});
