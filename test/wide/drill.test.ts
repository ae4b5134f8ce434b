/** The drill of docs/operating.md, by its own commands: a backup is tried, and then it is needed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test, type TestContext } from "node:test";
import { BIN, newFolder, ROOT, Server } from "../helpers/server.ts";
import { shell, succeed } from "../helpers/stranger.ts";

const PAGE = readFileSync(join(ROOT, "docs/operating.md"), "utf8");
const [TRIED, NEEDED] = Array.from(
  PAGE.slice(PAGE.indexOf("### The drill")).matchAll(/^```sh[^\n]*\n(.*?)^```$/gms),
  ([, commands]) => commands!.trim().split("\n"),
) as [string[], string[]];

const CONFIG = `
server: { port: 0 }
gpu: { devices: "simulated:1" }
engine: { simulated: { tokens_per_second: 0 } }
`;

/** A shell in which `npx alt-las` is this copy, as it is in a clone. */
function shellOf(t: TestContext): Record<string, string> {
  const bin = newFolder(t);
  writeFileSync(join(bin, "npx"), `#!/bin/sh\nshift\nexec node '${BIN}' "$@"\n`, { mode: 0o755 });
  symlinkSync(process.execPath, join(bin, "node"));
  return { PATH: [bin, process.env["PATH"]].join(delimiter) };
}

/** A folder as a server's: its configuration, and its data in `data`. */
async function served(t: TestContext) {
  const folder = newFolder(t);
  writeFileSync(join(folder, "config.yaml"), CONFIG);
  const server = await Server.start(t, { config: CONFIG }, folder);
  const { task_id } = await server.run({ text: "kept", max_length: 1 });
  return { folder, server, task_id, env: shellOf(t) };
}

test("a backup is tried while the server runs, and needed when its data are gone", async (t) => {
  assert.ok(TRIED.length >= 4 && NEEDED.length >= 4, "the drill has two blocks of commands");
  const { folder, server, task_id, env } = await served(t);
  const said = await succeed(TRIED.join("\n"), folder, env);
  assert.match(said, /drill\.tar: .*, from the running server\./);
  assert.match(said, /^ {2}tasks: 1$/m);
  assert.match(said, /Nothing is wrong\./);
  assert.match(said, /^admin +admin/m);
  for (const name of ["drill", "drill.tar"]) assert.equal(existsSync(join(folder, name)), false, name);

  await succeed("npx alt-las backup backup.tar", folder, env);
  await server.stop();
  writeFileSync(join(folder, "data", "alt-las.db"), "x".repeat(10_000));
  const broken = await shell("npx alt-las doctor", folder, env);
  assert.equal(broken.code, 1);
  assert.match(broken.stdout, /^1\. .*alt-las\.db/m);
  // A restore over data that are there is refused, and changes nothing.
  const over = await shell("npx alt-las restore backup.tar --data-dir data", folder, env);
  assert.deepEqual([over.code, /is not empty.* nothing was changed/.test(over.stderr)], [1, true]);
  assert.equal(NEEDED.at(-1), "npx alt-las serve");
  await succeed(NEEDED.slice(0, -1).join("\n"), folder, env);
  const next = await Server.start(t, { config: CONFIG }, folder);
  next.key = server.key;
  assert.equal((await next.task(task_id)).status, "completed");
});

test("doctor says whose a data directory is, and that it cannot be written", (t) => {
  if (process.geteuid?.() !== 0) return t.skip("only root can run something as somebody else");
  const nobody = 65_534;
  const folder = newFolder(t);
  chmodSync(folder, 0o755);
  const data = join(folder, "data");
  const doctor = () =>
    spawnSync(process.execPath, [BIN, "doctor", "--data-dir", data], {
      uid: nobody,
      gid: nobody,
      cwd: "/",
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin" },
    });
  mkdirSync(data, { mode: 0o700 });
  const foreign = doctor();
  assert.equal(foreign.status, 1, foreign.stderr);
  assert.match(foreign.stdout, /belongs to another user, root: /);
  chownSync(data, nobody, nobody);
  chmodSync(data, 0o500);
  const closed = doctor();
  assert.equal(closed.status, 1, closed.stderr);
  assert.match(closed.stdout, /cannot be written: EACCES.*\n {3}To mend it: chmod u\+rwx /);
  rmSync(data, { recursive: true });
  const absent = doctor();
  assert.equal(absent.status, 1, absent.stderr);
  assert.match(absent.stdout, /^1\. The data directory \S+ is not there and cannot be made: EACCES.*\.$/m);
  chownSync(folder, nobody, nobody);
  const fine = doctor();
  assert.equal(fine.status, 0, fine.stdout);
});
