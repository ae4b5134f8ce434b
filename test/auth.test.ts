import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import { pino } from "pino";
import {
  keysAdd,
  keysList,
  keysRevoke,
  readPassword,
  usersAdd,
  usersHash,
  usersList,
  usersRemove,
  type CommandContext,
} from "../src/auth/commands.ts";
import { Credentials, UNBOUND } from "../src/auth/credentials.ts";
import { credentialsPath, readCredentials } from "../src/auth/file.ts";
import { ensureFirstKey, givenKey } from "../src/auth/first-key.ts";
import { PasswordChecker } from "../src/auth/passwords.ts";
import { hashApiKey, hashPassword, newApiKey, verifyPassword } from "../src/auth/secrets.ts";
import { parseConfig, type Config } from "../src/config/config.ts";
import { AltLasError, type ErrorCode } from "../src/errors.ts";
import { createLogger } from "../src/log/log.ts";
import { AS, temporaryFolder, testConfig, testServer } from "./helpers/http.ts";

/** Cheap to compute; the real cost is the business of one test. */
const CHEAP = { N: 16, r: 1, p: 1 };

function authConfig(yaml = ""): Config["auth"] {
  return parseConfig(yaml === "" ? "" : `auth: ${yaml}`, "test.yaml").auth;
}

function contextOf(t: TestContext, config: Config["auth"] = authConfig()): CommandContext {
  return { config, dataDir: temporaryFolder(t) };
}

function open({ config, dataDir }: CommandContext, passwords?: PasswordChecker) {
  const log: string[] = [];
  const logger = pino({ level: "info" }, { write: (line: string) => log.push(line) });
  const credentials = new Credentials({ config, dataDir, log: logger, ...(passwords && { passwords }) });
  return { credentials, log };
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

/** The key that a command printed. */
function printed(output: string): string {
  const key = output.split("\n").at(-1)!;
  assert.match(key, /^altlas_[A-Za-z0-9_-]{43}$/);
  return key;
}

async function isRefused(credentials: Credentials, header: string): Promise<boolean> {
  try {
    await credentials.authenticate(header);
    return false;
  } catch (error) {
    assert.ok(error instanceof AltLasError && error.code === "unauthorized", String(error));
    return true;
  }
}

function badConfig(sentence: RegExp) {
  return refused("bad_config", sentence);
}

function refused(code: ErrorCode, sentence: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof AltLasError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, sentence);
    return true;
  };
}

test("an API key has 256 random bits, and only its hash is kept", async (t) => {
  const context = contextOf(t);
  await usersAdd(context, { name: "ay", role: "user" });
  const key = printed(await keysAdd(context, { user: "ay" }));
  const file = readFileSync(credentialsPath(context.dataDir), "utf8");
  assert.ok(!file.includes(key.slice(7)));
  assert.ok(file.includes(hashApiKey(key)));
  assert.notEqual(newApiKey(), newApiKey());
  assert.equal(statSync(credentialsPath(context.dataDir)).mode & 0o777, 0o600);
  const { credentials } = open(context);
  assert.deepEqual(credentials.authenticate(`Bearer ${key}`), {
    ...UNBOUND,
    name: "ay",
    role: "user",
    keyName: "ay-1",
  });
  assert.deepEqual(credentials.authenticate(`bEaReR   ${key} `), {
    ...UNBOUND,
    name: "ay",
    role: "user",
    keyName: "ay-1",
  });
  assert.ok(await isRefused(credentials, `Bearer ${key}x`));
  assert.ok(await isRefused(credentials, `Bearer ${hashApiKey(key)}`));
});

test("a key or user that changes while the server runs counts from the next request on", async (t) => {
  const { app, dataDir } = testServer(t);
  const context = { config: testConfig().auth, dataDir };
  const status = async (key: string) => {
    await nextTurn();
    const headers = { authorization: `Bearer ${key}` };
    return (await app.inject({ url: "/api/v1/gpus", headers })).statusCode;
  };
  await usersAdd(context, { name: "bob", role: "user" });
  const first = printed(await keysAdd(context, { user: "bob", name: "first" }));
  const second = printed(await keysAdd(context, { user: "bob" }));
  const configured = printed(await keysAdd(context, { user: "viewer" }));
  assert.deepEqual([await status(first), await status(second), await status(configured)], [200, 200, 200]);
  await keysRevoke(context, "first");
  assert.deepEqual([await status(first), await status(second)], [401, 200]);
  await usersRemove(context, "bob");
  assert.deepEqual([await status(second), await status(configured)], [401, 200]);
  rmSync(credentialsPath(dataDir));
  assert.equal(await status(configured), 401);
  assert.equal((await app.inject({ url: "/api/v1/gpus", headers: AS.user })).statusCode, 200);
});

test("a damaged credentials file stops a start, and leaves a running server with what it knew", async (t) => {
  const context = contextOf(t, authConfig("{ users: [{ name: root, role: admin }] }"));
  const key = printed(await keysAdd(context, { user: "root" }));
  const { credentials, log } = open(context);
  const path = credentialsPath(context.dataDir);
  const cases: [content: string, sentence: RegExp][] = [
    ['{"version":1,"users', /credentials\.json is damaged: it is not JSON/],
    ['{"version":2,"users":[],"keys":[]}', /credentials\.json: version must be 1; got 2\./],
    ['{"version":1,"users":[]}', /credentials\.json: keys is missing/],
    ['{"version":1,"users":[{"name":"a","role":"king","created_at":""}],"keys":[]}', /users\[0\]\.role must be one of/],
  ];
  for (const [content, sentence] of cases) {
    writeFileSync(path, content);
    assert.throws(() => open(context), badConfig(sentence));
    await assert.rejects(() => keysList(context), badConfig(sentence));
    await assert.rejects(() => keysAdd(context, { user: "root" }), badConfig(sentence));
    assert.equal(readFileSync(path, "utf8"), content, "a command leaves a damaged file as it is");
    log.length = 0;
    for (let i = 0; i < 3; i++) {
      await nextTurn();
      assert.deepEqual(credentials.authenticate(`Bearer ${key}`), {
        ...UNBOUND,
        name: "root",
        role: "admin",
        keyName: "root-1",
      });
    }
    assert.equal(log.length, 1, "the damage is reported once");
    assert.match(log[0]!, sentence);
  }
  writeFileSync(path, '{"version":1,"users":[],"keys":[]}');
  await nextTurn();
  assert.throws(() => credentials.authenticate(`Bearer ${key}`), /unknown or was revoked/);
});

test("a connection that has shown a key shows nothing with another one, nor with its own once it is revoked", async (t) => {
  const context = contextOf(t, authConfig("{ users: [{ name: ay, role: user }, { name: bee, role: admin }] }"));
  const ay = `Bearer ${printed(await keysAdd(context, { user: "ay" }))}`;
  const bee = `Bearer ${printed(await keysAdd(context, { user: "bee" }))}`;
  const { credentials } = open(context);
  const connection = {};
  const show = (header: string) => credentials.authenticate(header, undefined, connection);
  const users = [ay, ay, bee, ay].map((header) => (show(header) as { name: string }).name);
  assert.deepEqual(users, ["ay", "ay", "bee", "ay"]);
  const another = `${ay.slice(0, -1)}${ay.endsWith("x") ? "y" : "x"}`;
  for (const header of [another, `${ay}x`]) assert.throws(() => show(header), /unknown or was revoked/);
  for (const header of ["Bearer ", "Bearer", "bearer \t"])
    assert.throws(() => show(header), /^.*The API key is empty\.$/);
  assert.throws(() => show("nonsense"), /cannot be understood/);
  assert.deepEqual(show(ay), { ...UNBOUND, name: "ay", role: "user", keyName: "ay-1" });
  writeFileSync(credentialsPath(context.dataDir), '{"version":1,"users":[],"keys":[]}');
  await nextTurn();
  assert.throws(() => show(ay), /unknown or was revoked/);
});

test("HTTP Basic works with any password, and scrypt runs once for it", async (t) => {
  const password = "pa:ss wörd 🔑:";
  const config = authConfig(
    `{ users: [{ name: ali, role: user, password_hash: ${await hashPassword(password, CHEAP)} }] }`,
  );
  const passwords = new PasswordChecker();
  const { credentials } = open(contextOf(t, config), passwords);
  const header = basic("ali", password);
  const callers = await Promise.all([1, 2, 3].map(() => credentials.authenticate(header)));
  for (const caller of callers) assert.deepEqual(caller, { ...UNBOUND, name: "ali", role: "user", keyName: null });
  assert.equal(passwords.runs, 1, "three logins at once share one run");
  assert.deepEqual(await credentials.authenticate(header), { ...UNBOUND, name: "ali", role: "user", keyName: null });
  assert.ok(!(credentials.authenticate(header) instanceof Promise), "a proven login waits for nothing");
  assert.deepEqual(await credentials.authenticate(basic("ali", password.normalize("NFD"))), {
    ...UNBOUND,
    name: "ali",
    role: "user",
    keyName: null,
  });
  const runs = passwords.runs;
  for (const wrong of [basic("ali", `${password}x`), basic("ali", ""), basic("Ali", password), basic("", "")]) {
    assert.ok(await isRefused(credentials, wrong));
  }
  assert.equal(passwords.runs, runs + 4, "an unknown user costs what a known one costs");
});

test("a login proven before is refused as soon as its password or user is gone", async (t) => {
  const context = contextOf(t, authConfig("{ users: [{ name: root, role: admin }] }"));
  const header = basic("bob", "first password");
  const passwords = new PasswordChecker();
  const { credentials } = open(context, passwords);
  assert.match(
    await usersAdd(context, { name: "bob", role: "user", password: "first password" }),
    /^User bob is now a user\.$/,
  );
  assert.deepEqual(await credentials.authenticate(header), { ...UNBOUND, name: "bob", role: "user", keyName: null });
  await usersRemove(context, "bob");
  assert.ok(await isRefused(credentials, header));
  await usersAdd(context, { name: "bob", role: "viewer", again: true, password: "second password" });
  assert.ok(await isRefused(credentials, header));
  assert.deepEqual(await credentials.authenticate(basic("bob", "second password")), {
    ...UNBOUND,
    name: "bob",
    role: "viewer",
    keyName: null,
  });
});

test("a user removed while its password is checked is refused", async (t) => {
  const context = contextOf(t, authConfig("{ users: [{ name: root, role: admin }] }"));
  const hold = Promise.withResolvers<boolean>();
  const { credentials } = open(context, new PasswordChecker(() => hold.promise));
  await usersAdd(context, { name: "bob", role: "user", password: "good password" });
  const login = credentials.authenticate(basic("bob", "good password"));
  await usersRemove(context, "bob");
  await nextTurn();
  // Any request makes the server look at the file.
  assert.throws(() => credentials.authenticate("Bearer nobody"), /unknown or was revoked/);
  hold.resolve(true);
  await assert.rejects(async () => login, /The user name or the password is wrong/);
});

test("passwords are hashed with scrypt at the documented cost", async () => {
  const hash = await usersHash("correct horse");
  assert.match(hash, /^scrypt\$32768\$8\$3\$[A-Za-z0-9_-]{22}\$[A-Za-z0-9_-]{43}$/);
  assert.ok(await verifyPassword("correct horse", hash));
  assert.ok(!(await verifyPassword("wrong horse", hash)));
  await assert.rejects(
    usersHash("short"),
    refused("invalid_input", /^A password has 8 to 1024 characters; this one has 5\.$/),
  );
});

test("passwords that are guessed first are refused, wherever a new one is made", async (t) => {
  const weak: [password: string, why: RegExp][] = [
    ["password", /is one of the most common ones/],
    ["12345678", /is one of the most common ones/],
    ["Galatasaray", /is one of the most common ones/],
    ["sifre123", /is one of the most common ones/],
    ["Şifre2024!", /is one of the most common ones/],
    ["fenerbahce1907", /is one of the most common ones/],
    ["İstanbul34", /is one of the most common ones/],
    ["aaaaaaaa", /repeats one or two characters/],
    ["ababababab", /repeats one or two characters/],
    ["cdefghijklm", /is a row of characters/],
    ["Alt_LAS2026", /is the server's name/],
    ["ayşe.yılmaz", /is the user's name/],
    ["ayşe.yılmazAYŞE.YILMAZ", /is made of the user's name/],
    ["ayşe.yılmaz2026", /is made of the user's name/],
  ];
  for (const [password, why] of weak) {
    const adding = usersAdd(contextOf(t), { name: "ayşe.yılmaz", role: "user", password });
    await assert.rejects(adding, refused("invalid_input", why), password);
  }
  await assert.rejects(
    usersHash("password"),
    refused("invalid_input", /^This password is one of the most common ones.*; take another/),
  );
});

test("a configured hash that could not be verified stops the start", (t) => {
  for (const hash of ["scrypt$3$8$1$AAAA$AAAA", "scrypt$1073741824$8$1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]) {
    const config = authConfig(`{ users: [{ name: ali, role: user, password_hash: "${hash}" }] }`);
    assert.throws(() => open(contextOf(t, config)), badConfig(/^auth\.users: the password_hash of ali is not a hash/));
  }
});

test("where the configuration and the data directory name the same, the configuration wins, with a warning", async (t) => {
  const context = contextOf(t);
  await usersAdd(context, { name: "ali", role: "admin" });
  const kept = printed(await keysAdd(context, { user: "ali", name: "laptop" }));
  const clashing = printed(await keysAdd(context, { user: "ali", name: "phone" }));
  const orphan = { name: "old", user: "nobody", sha256: hashApiKey("orphan") };
  const config = authConfig(
    `{ users: [{ name: ali, role: viewer }], keys: [{ name: phone, user: ali, sha256: "${hashApiKey("configured")}" }, ${JSON.stringify(orphan)}] }`,
  );
  const { credentials, log } = open({ ...context, config });
  assert.deepEqual(credentials.authenticate(`Bearer ${kept}`), {
    ...UNBOUND,
    name: "ali",
    role: "viewer",
    keyName: "laptop",
  });
  assert.deepEqual(credentials.authenticate("Bearer configured"), {
    ...UNBOUND,
    name: "ali",
    role: "viewer",
    keyName: "phone",
  });
  assert.ok(await isRefused(credentials, `Bearer ${clashing}`));
  assert.ok(await isRefused(credentials, "Bearer orphan"));
  const warnings = log.join("");
  assert.match(warnings, /User ali is in the configuration too/);
  assert.match(warnings, /Key phone exists twice/);
  assert.match(warnings, /Key old is refused: its user nobody does not exist/);
});

test("with authentication off everybody is an admin", (t) => {
  const { credentials } = open(contextOf(t, authConfig("{ enabled: false }")));
  assert.deepEqual(credentials.authenticate(undefined), {
    ...UNBOUND,
    name: "anonymous",
    role: "admin",
    keyName: null,
  });
  assert.deepEqual(credentials.authenticate("nonsense"), {
    ...UNBOUND,
    name: "anonymous",
    role: "admin",
    keyName: null,
  });
});

test("the first start makes an admin with one key, and only the first", async (t) => {
  const context = contextOf(t);
  const key = await ensureFirstKey({ ...context, environmentKey: undefined });
  assert.match(key ?? "", /^altlas_/);
  assert.deepEqual(open(context).credentials.authenticate(`Bearer ${key}`), {
    ...UNBOUND,
    name: "admin",
    role: "admin",
    keyName: "first",
  });
  assert.equal(await ensureFirstKey({ ...context, environmentKey: "" }), null);
  assert.equal(readCredentials(context.dataDir).keys.length, 1);
});

test("no key is made where there is a way in already, or where none is needed", async (t) => {
  const key = `{ users: [{ name: a, role: user }], keys: [{ name: k, user: a, sha256: "${hashApiKey("key")}" }] }`;
  const password = `{ users: [{ name: a, role: user, password_hash: ${await hashPassword("password", CHEAP)} }] }`;
  for (const yaml of [key, password, "{ enabled: false }"]) {
    const context = contextOf(t, authConfig(yaml));
    assert.equal(await ensureFirstKey({ ...context, environmentKey: undefined }), null);
    assert.deepEqual(readdirSync(context.dataDir), []);
  }
  const nobody = contextOf(t, authConfig("{ users: [{ name: a, role: user }] }"));
  assert.match((await ensureFirstKey({ ...nobody, environmentKey: undefined })) ?? "", /^altlas_/);
});

test("ALT_LAS_API_KEY is the admin's key, and changing it takes the old one back", async (t) => {
  const context = contextOf(t);
  const start = (environmentKey: string | undefined) => ensureFirstKey({ ...context, environmentKey });
  assert.equal(await start("first-key-of-the-environment"), null);
  const { credentials } = open(context);
  const admin = { ...UNBOUND, name: "admin", role: "admin", keyName: "ALT_LAS_API_KEY" };
  assert.deepEqual(credentials.authenticate("Bearer first-key-of-the-environment"), admin);
  const before = statSync(credentialsPath(context.dataDir)).ino;
  await start("first-key-of-the-environment");
  assert.equal(statSync(credentialsPath(context.dataDir)).ino, before, "an unchanged key writes nothing");
  assert.equal(await start(undefined), null);
  assert.deepEqual(credentials.authenticate("Bearer first-key-of-the-environment"), admin);
  const other = printed(await keysAdd(context, { user: "admin" }));
  await start("second-key-of-the-environment");
  await nextTurn();
  assert.deepEqual(credentials.authenticate("Bearer second-key-of-the-environment"), admin);
  assert.ok(await isRefused(credentials, "Bearer first-key-of-the-environment"));
  assert.deepEqual(credentials.authenticate(`Bearer ${other}`), { ...admin, keyName: "admin-1" });
  for (const bad of ["too-short", "has spaces in its middle", "ümlauts-are-not-ascii"]) {
    await assert.rejects(
      () => start(bad),
      badConfig(/^The environment variable ALT_LAS_API_KEY must be 16 to 512 printable/),
    );
  }
});

test("the admin's key may stand in a file that the environment names", (t) => {
  const path = join(temporaryFolder(t), "key");
  writeFileSync(path, "a-key-in-a-file-of-its-own\n");
  assert.equal(givenKey({ ALT_LAS_API_KEY_FILE: path }), "a-key-in-a-file-of-its-own");
  assert.equal(
    givenKey({ ALT_LAS_API_KEY_FILE: path, ALT_LAS_API_KEY: "a-key-of-the-environment" }),
    "a-key-of-the-environment",
  );
  assert.equal(givenKey({}), undefined);
  writeFileSync(path, "short");
  assert.throws(() => givenKey({ ALT_LAS_API_KEY_FILE: path }), badConfig(/must be 16 to 512 printable/));
  rmSync(path);
  assert.throws(
    () => givenKey({ ALT_LAS_API_KEY_FILE: path }),
    badConfig(/^The environment variable ALT_LAS_API_KEY_FILE: the file .* is not there or empty\.$/),
  );
});

test("commands refuse what cannot be, with a sentence", async (t) => {
  const config = authConfig(
    `{ users: [{ name: conf, role: user }], keys: [{ name: conf-key, user: conf, sha256: "${hashApiKey("x")}" }] }`,
  );
  const context = contextOf(t, config);
  await usersAdd(context, { name: "root", role: "admin" });
  await usersAdd(context, { name: "bob", role: "user" });
  const cases: [action: () => unknown, sentence: RegExp][] = [
    [
      () => usersAdd(context, { name: "bad name", role: "user" }),
      /^the name of a user must be 1 to 64 letters.*; got "bad name"\.$/,
    ],
    [
      () => usersAdd(context, { name: "eve", role: "king" }),
      /^The role must be one of admin, user, viewer; got "king"\.$/,
    ],
    [() => usersAdd(context, { name: "eve", role: "user", password: "short" }), /^A password has 8 to 1024 characters/],
    [() => usersAdd(context, { name: "bob", role: "user" }), /^User bob exists already\./],
    [() => usersAdd(context, { name: "conf", role: "user" }), /^User conf exists already\./],
    [() => usersRemove(context, "nobody"), /^There is no user nobody\.$/],
    [() => usersRemove(context, "conf"), /^User conf is in the configuration; remove it there, under auth\.users\.$/],
    [() => usersRemove(context, "root"), /^User root is the last admin; add another one first\.$/],
    [
      () => keysAdd(context, { user: "nobody" }),
      /^There is no user nobody\. Make it, .*: npx alt-las users add nobody --role ROLE --data-dir \S+$/,
    ],
    [() => keysAdd(context, { user: "bob", name: "conf-key" }), /^A key named conf-key exists already\.$/],
    [() => keysAdd(context, { user: "bob", name: "-" }), /^the name of a key must be/],
    [() => keysRevoke(context, "nothing"), /^There is no key nothing\.$/],
    [() => keysRevoke(context, "conf-key"), /^Key conf-key is in the configuration; remove it there\.$/],
    [() => readPassword(Readable.from(["two\n", "lines\n"])), /^The password must be a single line\.$/],
  ];
  for (const [action, sentence] of cases)
    await assert.rejects(async () => action(), { name: "AltLasError", message: sentence });
  assert.equal(await readPassword(Readable.from(["şifre", " 123\r\n"])), "şifre 123");
});

test("users and keys are listed, without their secrets", async (t) => {
  const config = authConfig("{ users: [{ name: conf, role: viewer }] }");
  const context = contextOf(t, config);
  assert.equal(await keysList(context), "There are no keys.");
  await usersAdd(context, { name: "root", role: "admin", password: "long enough" });
  await keysAdd(context, { user: "root" });
  await keysAdd(context, { user: "root" });
  await keysAdd(context, { user: "conf", name: "laptop" });
  const users = (await usersList(context)).split("\n");
  assert.match(users[0]!, /^USER +ROLE +PASSWORD +KEYS +SINCE$/);
  assert.match(users[1]!, /^conf +viewer +no +1 +configuration$/);
  assert.match(users[2]!, /^root +admin +yes +2 +\d{4}-/);
  const keys = (await keysList(context)).split("\n");
  assert.deepEqual(
    keys.map((line) => line.split(/ +/)[0]),
    ["KEY", "root-1", "root-2", "laptop"],
  );
  assert.match(
    await usersRemove({ ...context, config: authConfig("{ users: [{ name: b, role: admin }] }") }, "root"),
    /with 2 keys/,
  );
  assert.equal((await keysList(context)).split("\n").length, 2);
});

test("commands that run at the same time lose nothing of each other", async (t) => {
  const context = contextOf(t);
  await usersAdd(context, { name: "root", role: "admin" });
  const script = `
    import { keysAdd } from ${JSON.stringify(new URL("../src/auth/commands.ts", import.meta.url).href)};
    const [dataDir, prefix] = process.argv.slice(1);
    for (let i = 0; i < 5; i++) await keysAdd({ dataDir, config: { enabled: true, users: [], keys: [] } }, { user: "root", name: prefix + i });`;
  const run = (prefix: string) =>
    promisify(execFile)(process.execPath, ["--input-type=module", "-e", script, context.dataDir, prefix]);
  await Promise.all(["a", "b", "c"].map(run));
  assert.equal(readCredentials(context.dataDir).keys.length, 15);
  assert.deepEqual(
    readdirSync(context.dataDir).filter((name) => name.endsWith(".tmp")),
    [],
  );
});

test("a data directory that cannot be written is a sentence", async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, "a-file");
  writeFileSync(file, "");
  const context = { config: authConfig("{ users: [{ name: root, role: admin }] }"), dataDir: join(file, "data") };
  await assert.rejects(() => keysAdd(context, { user: "root" }), badConfig(/credentials\.json cannot be read: /));
});

test("the log never shows a secret, whatever a caller hands it", () => {
  const lines: string[] = [];
  const log = createLogger("info", { write: (line: string) => lines.push(line) });
  const secret = "S3CRET";
  log.info({ authorization: secret, text: secret, password: secret, key: secret });
  log.info({ request: { headers: { authorization: secret }, body: secret } });
  log.info({ a: { task: { text: secret, result: secret } }, user: { password_hash: secret } });
  assert.equal(lines.length, 3);
  assert.doesNotMatch(lines.join(""), /S3CRET/);
});
