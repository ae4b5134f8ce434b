/** A real server whose wall clock is set under it, by libfaketime. */
import assert from "node:assert/strict";
import { globSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { altLas, newFolder, Server } from "../helpers/server.ts";

const [LIBRARY] = globSync("/usr/{lib,lib/*,local/lib}/faketime/libfaketime.so.1");
const skip = LIBRARY === undefined && "libfaketime is not on this machine";
const CONFIG = `{ engine: { simulated: { tokens_per_second: 0 } } }`;
const STEP = "the wall clock was set";
const HOLD = "the wall clock is far ahead";

/** A wall clock that the processes see that are started with `env`. */
function wallClock(folder: string) {
  const file = join(folder, "wall-clock");
  return {
    env: {
      LD_PRELOAD: LIBRARY!,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      DONT_FAKE_MONOTONIC: "1",
    },
    /** @param offset from what it is, like "+8d" */
    set(offset: string): void {
      writeFileSync(`${file}.new`, offset);
      renameSync(`${file}.new`, file);
    },
  };
}

test(
  "a wall clock 8 days ahead removes no task and fails none, it is told, and a start with it waits for an operator",
  { skip },
  async (t) => {
    const folder = newFolder(t);
    const wall = wallClock(folder);
    wall.set("+0");
    const options = { config: CONFIG, args: ["--devices", "simulated:1"], env: wall.env };
    const first = await Server.start(t, options, folder);
    await first.loaded();
    const before = await first.run({ text: "before" });
    wall.set("+8d");
    await first.logged(({ msg }) => msg.startsWith(STEP));
    const during = await first.run({ text: "during", timeout_seconds: 600 });
    assert.equal(during.status, "completed");
    assert.ok(
      Date.parse(during.created_at) - Date.parse(before.created_at) > 7 * 86_400_000,
      "it shows the wall clock",
    );
    wall.set("-1h");
    await first.logged(({ msg }) => msg.startsWith(STEP), 2);
    const after = await first.run({ text: "after" });
    wall.set("+0");
    await first.logged(({ msg }) => msg.startsWith(STEP), 3);
    for (const task of [before, during, after]) assert.deepEqual(await first.task(task.task_id), task);
    await first.stop();

    wall.set("+8d");
    const second = await first.restart();
    const [warning] = await second.logged(({ msg }) => msg.startsWith(HOLD));
    assert.equal(warning!["tasks"], 3);
    assert.equal((await second.tasks()).total, 3);
    const swept = await altLas(["sweep", "--now", "--data-dir", second.dataDir]);
    assert.equal(swept.stderr, "");
    assert.match(
      swept.stdout,
      /^The wall clock is believed from now on\. 3 tasks were old enough and are removed\.\n$/,
    );
    assert.equal((await second.tasks()).total, 0);
    await second.stop();

    const idle = await altLas(["sweep", "--now", "--data-dir", second.dataDir]);
    assert.equal(idle.code, 1);
    assert.match(idle.stderr, /No server runs on/);
  },
);
