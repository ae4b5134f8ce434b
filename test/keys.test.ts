/** Keys that are held to something, end, and are rotated; and when they were used last. */
import assert from "node:assert/strict";
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mock, test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pino } from "pino";
import {
  keysAdd,
  keysList,
  keysRevoke,
  keysRotate,
  usersAdd,
  usersList,
  usersPassword,
  usersSet,
} from "../src/auth/commands.ts";
import { type Caller, Credentials } from "../src/auth/credentials.ts";
import { changeCredentials, type CredentialsFile } from "../src/auth/file.ts";
import { readKeyUse } from "../src/auth/key-use-file.ts";
import { parseConfig } from "../src/config/config.ts";
import { temporaryFolder } from "./helpers/http.ts";

const NOW = Date.parse("2026-05-04T12:00:00Z");
const DAY = 86_400_000;

/** A data directory with the admin `root` and the user `bob`, a server's view of it, and a wall clock that the test moves. */
async function world(t: TestContext) {
  mock.timers.enable({ apis: ["Date"], now: NOW });
  t.after(() => mock.timers.reset());
  const { auth: config } = parseConfig("", "test.yaml");
  const context = { config, dataDir: temporaryFolder(t) };
  await usersAdd(context, { name: "root", role: "admin" });
  await usersAdd(context, { name: "bob", role: "user" });
  const credentials = new Credentials({ ...context, log: pino({ level: "silent" }) });
  /** As it is let in; a sentence: why it is not. */
  const ask = async (key: string): Promise<Caller | string> => {
    await nextTurn();
    try {
      return await credentials.authenticate(`Bearer ${key}`);
    } catch (error) {
      return (error as Error).message;
    }
  };
  return { context, credentials, ask };
}

/** As an editor changes the file. */
function change(dataDir: string, edit: (file: CredentialsFile) => unknown): void {
  changeCredentials(dataDir, (file) => {
    edit(file);
    return { file, result: null };
  });
}

function keyIn(output: string): string {
  return output.split("\n").at(-1)!;
}

const UNKNOWN = "The API key is unknown or was revoked.";

test("a key may do what it was made for, until it ends", async (t) => {
  const { context, ask } = await world(t);
  const limits = { scopes: "submit, read", models: "small,large", expires: "90d" };
  const key = keyIn(await keysAdd(context, { user: "bob", name: "ci", ...limits }));
  const { scopes, models, expiresAt, ...who } = (await ask(key)) as Caller;
  assert.deepEqual(who, { name: "bob", role: "user", team: null, keyName: "ci" });
  assert.deepEqual([...(scopes ?? [])], ["submit", "read"]);
  assert.deepEqual(models, ["small", "large"]);
  assert.equal(expiresAt, NOW + 90 * DAY);

  mock.timers.setTime(NOW + 90 * DAY - 1);
  assert.equal(typeof (await ask(key)), "object");
  mock.timers.setTime(NOW + 90 * DAY);
  assert.equal(
    await ask(key),
    "The API key ci of bob expired at 2026-08-02T12:00:00.000Z. Ask an admin for another one.",
  );
});

test("a key that has ended is refused on the connection that it was proven on, too", async (t) => {
  const { context, credentials } = await world(t);
  const header = `Bearer ${keyIn(await keysAdd(context, { user: "bob", expires: "1h" }))}`;
  const connection = {};
  const caller = (await credentials.authenticate(header, undefined, connection)) as Caller;
  assert.ok(credentials.holds(caller));
  mock.timers.setTime(NOW + DAY);
  assert.throws(
    () => credentials.authenticate(header, undefined, connection),
    /^AltLasError: The API key bob-1 of bob expired/,
  );
  assert.ok(!credentials.holds(caller), "streams that it opened by tickets end");
});

test("a key that was rotated goes on beside the new one, for as long as was said", async (t) => {
  const { context, ask } = await world(t);
  const first = keyIn(await keysAdd(context, { user: "bob", name: "ci", scopes: "read" }));
  const said = await keysRotate(context, "ci", "2d");
  assert.match(
    said,
    /^The key before goes on until 2026-05-06T12:00:00\.000Z\. Key ci of user bob, shown only this once:\n/,
  );
  const second = keyIn(said);
  for (const key of [first, second]) {
    const { keyName, scopes } = (await ask(key)) as Caller;
    assert.equal(keyName, "ci");
    assert.deepEqual([...(scopes ?? [])], ["read"]);
  }
  const third = keyIn(await keysRotate(context, "ci", "2d"));
  mock.timers.setTime(NOW + 2 * DAY);
  assert.match(String(await ask(first)), /^The API key ci of bob expired at 2026-05-06/);
  assert.equal(typeof (await ask(third)), "object");

  // At once, and with all before it.
  const fourth = keyIn(await keysRotate(context, "ci", "0s"));
  assert.equal(await ask(second), UNKNOWN);
  assert.equal(await ask(third), UNKNOWN);
  assert.equal(typeof (await ask(fourth)), "object");
  await keysRotate(context, "ci");
  await keysRevoke(context, "ci");
  assert.equal(await ask(fourth), UNKNOWN, "a key that is revoked takes those before it along");
});

test("a rotated key ends when the key was to end, however long those before were to go on", async (t) => {
  const { context, ask } = await world(t);
  const first = keyIn(await keysAdd(context, { user: "bob", name: "ci", expires: "1h" }));
  const second = keyIn(await keysRotate(context, "ci", "7d"));
  mock.timers.setTime(NOW + 3_600_000);
  for (const key of [first, second])
    assert.match(String(await ask(key)), /^The API key ci of bob expired at 2026-05-04T13/);
});

test("what was opened with a key goes on no longer than the key, and only while it may the same", async (t) => {
  const { context, credentials, ask } = await world(t);
  const first = keyIn(await keysAdd(context, { user: "bob", name: "ci", scopes: "read", models: "a,b" }));
  const caller = (await ask(first)) as Caller;
  await keysRotate(context, "ci", "1d");
  await nextTurn();
  assert.ok(credentials.holds(caller), "the key before goes on for a day");
  mock.timers.setTime(NOW + DAY);
  assert.ok(!credentials.holds(caller));

  const narrowed = keyIn(await keysAdd(context, { user: "bob", name: "wide" }));
  const wide = (await ask(narrowed)) as Caller;
  for (const limits of [{ scopes: ["submit"] }, { models: ["a"] }, { name: "other" }]) {
    change(context.dataDir, (file) => Object.assign(file.keys.at(-1)!, limits));
    await nextTurn();
    assert.ok(!credentials.holds(wide), JSON.stringify(limits));
    change(context.dataDir, (file) => {
      const { user, sha256, created_at } = file.keys.at(-1)!;
      file.keys.splice(-1, 1, { name: "wide", user, sha256, created_at });
    });
    await nextTurn();
    assert.ok(credentials.holds(wide));
  }
});

test("after the last rotation's time no key before it is left", async (t) => {
  const { context, ask } = await world(t);
  const first = keyIn(await keysAdd(context, { user: "bob", name: "ci" }));
  const second = keyIn(await keysRotate(context, "ci", "90d"));
  const third = keyIn(await keysRotate(context, "ci", "1h"));
  mock.timers.setTime(NOW + 3_600_000);
  for (const key of [first, second]) assert.match(String(await ask(key)), /^The API key ci of bob expired/);
  assert.equal(typeof (await ask(third)), "object");
});

test("a key before the last rotation whose end is no time has ended, and takes no other key's place", async (t) => {
  const { context, ask } = await world(t);
  const first = keyIn(await keysAdd(context, { user: "bob", name: "ci", expires: "90d" }));
  await keysRotate(context, "ci", "1d");
  change(context.dataDir, (file) => Object.assign(file.keys[0]!.previous![0]!, { until: "some day" }));
  assert.match(String(await ask(first)), /^The API key ci of bob expired/);
  change(context.dataDir, ({ keys }) => {
    keys.unshift({ name: "same", user: "root", sha256: keys[0]!.previous![0]!.sha256, created_at: "2026-05-04" });
  });
  assert.equal(((await ask(first)) as Caller).name, "root");
});

test("what keys cannot be held to is refused, with a sentence", async (t) => {
  const { context } = await world(t);
  const add = (options: object) => () => keysAdd(context, { user: "bob", ...options });
  await keysAdd(context, { user: "bob", name: "old", expires: "1h" });
  const cases: [action: () => unknown, sentence: RegExp][] = [
    [add({ scopes: "submit,write" }), /^A scope must be one of submit, read, admin, metrics; got "write"\.$/],
    [add({ expires: "soon" }), /^The time must be a number with its unit, like 30m, 24h or 90d; got "soon"\.$/],
    [add({ expires: "2026-02-31T00:00:00Z" }), /^expires_at must be (?:later than now|a time)/],
    [add({ expires: "2020-01-01T00:00:00Z" }), /^expires_at must be later than now; got "2020-01-01T00:00:00Z"\.$/],
    [add({ expires: "2027-01-01T00:00:00" }), /^expires_at must be a time with its zone/],
    [() => keysRotate(context, "nothing"), /^There is no key nothing\.$/],
    [() => keysRotate(context, "old", "91d"), /^The key before may go on for 0 s to 90 days/],
    [() => usersSet(context, "root", { role: "user" }), /^User root is the last admin; add another one first\.$/],
    [() => usersSet(context, "bob", { role: "king" }), /^The role must be one of/],
    [() => usersPassword(context, "bob", "bob"), /^A password has 8 to/],
    [() => usersPassword(context, "eve", "four words of mine"), /^There is no user eve\.$/],
  ];
  for (const [action, sentence] of cases)
    await assert.rejects(async () => action(), { name: "AltLasError", message: sentence });
  mock.timers.setTime(NOW + DAY);
  await assert.rejects(() => keysRotate(context, "old"), /expired at .*; revoke it and add another one\.$/);
});

test("the list of keys says until when the one before a rotation goes on, where there is one", async (t) => {
  const { context } = await world(t);
  await keysAdd(context, { user: "bob", name: "night" });
  await keysAdd(context, { user: "bob", name: "day" });
  assert.doesNotMatch(await keysList(context), /BEFORE/);
  await keysRotate(context, "night", "7d");
  const [head, ...lines] = (await keysList(context)).split("\n");
  assert.match(head!, / ONE BEFORE UNTIL$/);
  assert.ok(lines.find((line) => line.startsWith("night"))!.endsWith(`  ${new Date(NOW + 7 * DAY).toISOString()}`));
  assert.match(
    lines.find((line) => line.startsWith("day"))!,
    / {2}-$/,
  );
});

test("a user gets another role or password, and keeps its keys", async (t) => {
  const { context, ask } = await world(t);
  const key = keyIn(await keysAdd(context, { user: "bob" }));
  assert.equal(await usersSet(context, "bob", { role: "viewer" }), "User bob is now a viewer.");
  assert.equal(((await ask(key)) as Caller).role, "viewer");
  assert.equal(
    await usersPassword(context, "bob", "four words of mine"),
    "User bob has another password; its keys go on.",
  );
  assert.equal(typeof (await ask(key)), "object");
});

test("a user is put into a team and taken out of it, and the list has teams where there are any", async (t) => {
  const { context, ask } = await world(t);
  const key = keyIn(await keysAdd(context, { user: "bob" }));
  assert.doesNotMatch(await usersList(context), /TEAM/);
  const inTeam = await usersSet(context, "bob", { team: "research" });
  assert.equal(inTeam, "User bob is now a user, in the team research.");
  assert.equal(((await ask(key)) as Caller).team, "research");
  const bound = await usersSet(context, "bob", { role: "viewer" });
  assert.equal(bound, "User bob is now a viewer, in the team research, and sees only what is the team's.");
  const [head, ...lines] = (await usersList(context)).split("\n");
  assert.match(head!, / {2}TEAM$/);
  assert.ok(lines.find((line) => line.startsWith("bob "))!.endsWith("  research"));
  assert.equal(
    await usersSet(context, "bob", { team: false }),
    "User bob is now a viewer, in no team, and sees what everybody has.",
  );
  assert.equal(((await ask(key)) as Caller).team, null);
  await assert.rejects(usersSet(context, "bob", {}), /^.*Say what to change: --role ROLE, --team TEAM/);
  await assert.rejects(usersSet(context, "bob", { team: "a b" }), /the name of a team must be 1 to 64/);
});

test("it is known when a key was used last, over restarts too, and a damaged file costs nothing else", async (t) => {
  const { context, credentials, ask } = await world(t);
  const key = keyIn(await keysAdd(context, { user: "bob", name: "used" }));
  await keysAdd(context, { user: "bob", name: "unused" });
  const stop = credentials.watch();
  await ask(key);
  await stop();
  const path = join(context.dataDir, "key-use.json");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual([...readKeyUse(context.dataDir).values()], ["2026-05-04T12:00:00.000Z"]);
  const lines = (await keysList(context)).split("\n");
  assert.match(
    lines.find((line) => line.startsWith("used"))!,
    / {2}2026-05-04T12:00:00\.000Z {2}2026/,
  );
  assert.match(
    lines.find((line) => line.startsWith("unused"))!,
    / {2}- {2,}2026/,
  );

  writeFileSync(path, "{damaged");
  assert.equal(readKeyUse(context.dataDir).size, 0);
  const next = new Credentials({ ...context, log: pino({ level: "silent" }) });
  await next.authenticate(`Bearer ${key}`);
  await next.watch()();
  assert.match(readFileSync(path, "utf8"), /^\{"[0-9a-f]{64}":"2026/);
});

test("uses of keys are written to no file that a link leads to", async (t) => {
  const { context, credentials, ask } = await world(t);
  const elsewhere = join(temporaryFolder(t), "elsewhere");
  writeFileSync(elsewhere, "theirs");
  for (const name of ["key-use.json", "key-use.json.new"]) symlinkSync(elsewhere, join(context.dataDir, name));
  const stop = credentials.watch();
  await ask(keyIn(await keysAdd(context, { user: "bob" })));
  await stop();
  assert.equal(readFileSync(elsewhere, "utf8"), "theirs");
  assert.equal(readKeyUse(context.dataDir).size, 1);
});
