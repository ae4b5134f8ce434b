/** Who guesses at passwords is slowed down, and takes nothing from others. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pino } from "pino";
import { usersAdd } from "../src/auth/commands.ts";
import { Credentials } from "../src/auth/credentials.ts";
import { readCredentials } from "../src/auth/file.ts";
import { PasswordChecker } from "../src/auth/passwords.ts";
import { hashPassword, verifyPassword } from "../src/auth/secrets.ts";
import { parseConfig } from "../src/config/config.ts";
import { AltLasError } from "../src/errors.ts";
import { temporaryFolder } from "./helpers/http.ts";
import { briefly, toldToOperators } from "./helpers/operators.ts";

const RIGHT = "correct horse";
const CHEAP = { N: 16, r: 1, p: 1 };
const HASH = await hashPassword(RIGHT, CHEAP);
const NOBODYS = await hashPassword("what nobody tries", CHEAP);
const HOME = "192.0.2.1";
const ATTACKER = "203.0.113.6";

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly address?: string;
  readonly user?: string;
  readonly failed?: number;
  readonly unsaid?: number;
}

/** As verifyPassword, but the hash that stands in for the one of an unknown user costs as little as HASH. */
function verifyCheaply(password: string, stored: string): Promise<boolean> {
  return verifyPassword(password, stored === HASH ? HASH : NOBODYS);
}

/** Users whose password is RIGHT, and a clock that stands still unless a test moves it. */
class Door {
  readonly log: Line[] = [];
  readonly passwords: PasswordChecker;
  readonly credentials: Credentials;
  seconds = 0;

  constructor(t: TestContext, names: readonly string[] = ["ali", "bob"], verify = verifyCheaply) {
    const now = (): number => this.seconds * 1000;
    this.passwords = new PasswordChecker(verify, now);
    const users = names.map((name) => ({ name, role: "user", password_hash: HASH }));
    const { auth } = parseConfig(JSON.stringify({ auth: { users } }), "c.yaml");
    const log = pino({}, { write: (line: string) => void this.log.push(JSON.parse(line) as Line) });
    this.credentials = new Credentials({
      config: auth,
      dataDir: temporaryFolder(t),
      log,
      now,
      passwords: this.passwords,
    });
  }

  /** `right`, `wrong`, or the seconds of a pause. */
  async knock(address: string, user: string | Buffer, password: string | Buffer): Promise<string | number> {
    const header = `Basic ${Buffer.concat([user, ":", password].map((part) => Buffer.from(part))).toString("base64")}`;
    try {
      await this.credentials.authenticate(header, () => address);
      return "right";
    } catch (error) {
      assert.ok(error instanceof AltLasError, String(error));
      if (error.code === "unauthorized") return "wrong";
      assert.equal(error.code, "rate_limited");
      return error.retryAfter!;
    }
  }
}

test("an address that fails for a user pauses, longer each time, up to a minute", async (t) => {
  const door = new Door(t);
  for (let i = 0; i < 4; i++) assert.equal(await door.knock(ATTACKER, "ali", `guess ${i}`), "wrong");
  const pauses: (string | number)[] = [];
  for (let i = 0; i < 8; i++) {
    const pause = await door.knock(ATTACKER, "ali", RIGHT);
    pauses.push(pause);
    door.seconds += Number(pause);
    assert.equal(await door.knock(ATTACKER, "ali", `later ${i}`), "wrong");
  }
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
  assert.equal(door.passwords.runs, 12, "what has to pause costs no check");
});

test("the right password from elsewhere is never kept out, however hard somebody tries", async (t) => {
  const door = new Door(t);
  for (let i = 0; i < 200; i++) {
    await door.knock(ATTACKER, "ali", `guess ${i}`);
    await door.knock(`203.0.114.${i}`, "ali", `guess ${i}`);
  }
  assert.equal(await door.knock(HOME, "ali", RIGHT), "right");
  assert.equal(typeof (await door.knock(ATTACKER, "ali", "one more")), "number");
});

test("a user whom many addresses try has each of them pause after its first failure", async (t) => {
  const door = new Door(t);
  for (let i = 0; i < 30; i++) await door.knock(`203.0.114.${i}`, "ali", `guess ${i}`);
  assert.equal(await door.knock("203.0.115.1", "ali", "a guess"), "wrong");
  assert.equal(await door.knock("203.0.115.1", "ali", "another"), 60);
  assert.equal(await door.knock("203.0.115.1", "bob", "another"), "wrong", "other users are not concerned");
});

test("an address that tries many users pauses for all of them, and users that do not exist look like others", async (t) => {
  const door = new Door(t);
  for (let i = 0; i < 11; i++) assert.equal(await door.knock(ATTACKER, `user-${i}`, "guess"), "wrong");
  assert.deepEqual([await door.knock(ATTACKER, "bob", RIGHT), await door.knock(ATTACKER, "nobody", RIGHT)], [1, 1]);
  assert.equal(await door.knock(HOME, "bob", RIGHT), "right");
  const other = new Door(t);
  const tries = async (user: string) => {
    const seen: (string | number)[] = [];
    for (let i = 0; i < 6; i++) seen.push(await other.knock(`198.51.100.${user.length}`, user, `guess ${i}`));
    return seen;
  };
  assert.deepEqual(await tries("ali"), await tries("nobody"));
});

test("a login proven before waits for nobody's pause, and a success ends the pauses of who made it", async (t) => {
  const door = new Door(t);
  assert.equal(await door.knock(HOME, "ali", RIGHT), "right");
  for (let i = 0; i < 4; i++) await door.knock(HOME, "ali", `mistyped ${i}`);
  assert.equal(await door.knock(HOME, "ali", RIGHT), "right");
  for (let i = 0; i < 4; i++) await door.knock(HOME, "bob", `mistyped ${i}`);
  assert.equal(await door.knock(HOME, "bob", RIGHT), 1);
  door.seconds += 1;
  assert.equal(await door.knock(HOME, "bob", RIGHT), "right");
  assert.equal(await door.knock(HOME, "bob", "mistyped"), "wrong");
  assert.equal(await door.knock(HOME, "bob", "mistyped again"), "wrong");
});

test("failures are forgotten a quarter of an hour after the last one", async (t) => {
  const door = new Door(t);
  for (let i = 0; i < 4; i++) await door.knock(ATTACKER, "ali", `guess ${i}`);
  assert.equal(await door.knock(ATTACKER, "ali", "guess"), 1);
  door.seconds += 901;
  for (let i = 0; i < 4; i++) assert.equal(await door.knock(ATTACKER, "ali", `guess ${i}`), "wrong");
});

test("two passwords are checked at once, one of each address, and addresses have their turns", async (t) => {
  const started: { readonly password: string; readonly end: (right: boolean) => void }[] = [];
  const hold = (password: string): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    started.push({ password, end: resolve });
    return promise;
  };
  const names = Array.from({ length: 20 }, (_, i) => `u${i}`);
  const door = new Door(t, [...names, "ali"], hold);
  // One is in, and sixteen wait.
  const flood = names.slice(0, 17).map((name) => door.knock(ATTACKER, name, name));
  assert.equal(await door.knock(ATTACKER, "u18", "one more"), 5);
  const others = [door.knock(HOME, "ali", "first"), door.knock("192.0.2.2", "ali", "second")];
  await nextTurn();
  assert.deepEqual(
    started.map(({ password }) => password),
    ["u0", "first"],
  );
  started[1]!.end(true);
  assert.equal(await others[0], "right");
  await nextTurn();
  assert.equal(started[2]?.password, "second");
  started[0]!.end(true);
  assert.equal(await flood[0], "right");
  await nextTurn();
  assert.deepEqual(
    started.map(({ password }) => password),
    ["u0", "first", "second", "u1"],
  );
  for (let i = 2; i < 19; i++) {
    started[i]!.end(true);
    await (i === 2 ? others[1] : flood[i - 2]);
    await nextTurn();
  }
  assert.deepEqual(new Set(await Promise.all([...flood, ...others])), new Set(["right"]));
});

/** Passwords whose checks a test ends by hand, in the order in which they began. */
class Checks {
  readonly #begun: { readonly password: string; readonly end: (right: boolean) => void }[] = [];
  #ended = 0;

  readonly hold = (password: string): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#begun.push({ password, end: resolve });
    return promise;
  };

  /** Ends checks until that of RIGHT has ended. @returns how many began before it, from now on */
  async untilRight(): Promise<number> {
    const from = this.#begun.length;
    for (; this.#ended < this.#begun.length; this.#ended++) {
      const { password, end } = this.#begun[this.#ended]!;
      end(password === RIGHT);
      for (let i = 0; i < 6; i++) await nextTurn();
      if (password === RIGHT) return this.#ended++ - from;
    }
    throw new Error("The right password was never checked.");
  }
}

const FLOODS: Readonly<Record<string, (i: number) => [address: string, user: string]>> = {
  "one IPv6 network, each with a name of its own": (i) => [`2001:db8:1:${i.toString(16)}::/64`, `nobody-${i}`],
  "one IPv6 network, and the user": (i) => [`2001:db8:1:${i.toString(16)}::/64`, "ali"],
  "many IPv6 networks of a provider, and the user": (i) => [`2001:db8:${i.toString(16)}:1::/64`, "ali"],
  "one IPv4 network, and the user": (i) => [`198.51.100.${i % 250}`, "ali"],
  "many IPv4 networks of a provider": (i) => [`203.0.${i % 250}.7`, `nobody-${i}`],
};

for (const [what, source] of Object.entries(FLOODS)) {
  test(`a right login from elsewhere waits for a few checks only, of a flood from ${what}`, async (t) => {
    const checks = new Checks();
    const door = new Door(t, ["ali", "bob"], checks.hold);
    const flood = Array.from({ length: 700 }, (_, i) => door.knock(...source(i), `guess ${i}`));
    await nextTurn();
    for (const [address, user] of [
      [HOME, "ali"],
      ["192.0.3.1", "bob"],
    ] as const) {
      const login = door.knock(address, user, RIGHT);
      await nextTurn();
      const waited = await checks.untilRight();
      assert.ok(waited <= 4, `it waited for ${waited} checks`);
      assert.equal(await login, "right");
    }
    assert.equal(await flood.at(-1), 5, "there is no place for all of them");
  });
}

function everywhere(i: number): string {
  return `${20 + (i % 200)}.${i % 250}.1.1`;
}

test("an address that failed waits behind those that did not, and one that proved a login goes before them", async (t) => {
  const checks = new Checks();
  const door = new Door(t, ["ali", "bob", "cem"], checks.hold);
  const proven = door.knock(HOME, "ali", RIGHT);
  await nextTurn();
  await checks.untilRight();
  assert.equal(await proven, "right");
  for (let i = 0; i < 40; i++) void door.knock(everywhere(i), `nobody-${i}`, "a guess");
  const first = door.knock("192.0.3.1", "bob", RIGHT);
  await nextTurn();
  await checks.untilRight();
  assert.equal(await first, "right");
  for (let i = 0; i < 40; i++) void door.knock(everywhere(i), "cem", `guess ${i}`);
  await nextTurn();
  const unsuspected = door.knock("192.0.4.1", "cem", RIGHT);
  const known = door.knock(HOME, "ali", `${RIGHT}, mistyped`);
  await nextTurn();
  const waited = await checks.untilRight();
  assert.equal(await known, "wrong", "it went first");
  assert.ok(waited <= 4, `it waited for ${waited} checks`);
  assert.equal(await unsuspected, "right");
});

test("refused credentials are in the log with address and user, never with what was given, and without a flood", async (t) => {
  const door = new Door(t);
  const told = toldToOperators(t);
  for (let i = 0; i < 4; i++) await door.knock(ATTACKER, "ali", `geheim ${i}`);
  await door.knock(ATTACKER, "a password in the wrong field", "geheim");
  const said = door.log.map(({ level, msg, address, user, failed }) => ({ level, msg, address, user, failed }));
  const line = { level: 40, msg: "password refused", address: ATTACKER };
  assert.deepEqual(said, [
    { ...line, user: "ali", failed: 1 },
    { ...line, user: "ali", failed: 2 },
    { ...line, user: "ali", failed: 4 },
    { ...line, user: "unknown", failed: 1 },
  ]);
  for (let i = 0; i < 100; i++) {
    assert.throws(() => door.credentials.authenticate("Bearer altlas_geheim", () => `198.51.100.${i}`));
  }
  assert.equal(door.log.length, 20, "so many in a minute");
  door.seconds += 60;
  assert.throws(() => door.credentials.authenticate("Bearer altlas_geheim", () => HOME));
  const last = door.log.at(-1)!;
  assert.deepEqual([last.msg, last.address, last.unsaid], ["API key refused", HOME, 84]);
  assert.equal(told.length, door.log.length, "operators are told as much as the log");
  assert.deepEqual(briefly(told.slice(2, 3)), ["auth refused"]);
  assert.deepEqual([told[2]!.count, told[2]!.sentence], [4, `Password refused 4 times from ${ATTACKER}, user ali.`]);
  assert.equal(told.at(-1)!.sentence, `API key refused once from ${HOME}.`);
  assert.doesNotMatch(JSON.stringify(door.log), /geheim|wrong field/);
});

const TURKISH = "ayşegül.ığdır";
const LATIN = "gül";

const ISO_8859_9: Readonly<Record<string, number>> = { ğ: 0xf0, ı: 0xfd, ş: 0xfe, Ğ: 0xd0, İ: 0xdd, Ş: 0xde };

function turkish(text: string): Buffer {
  return Buffer.from([...text].map((letter) => ISO_8859_9[letter] ?? letter.charCodeAt(0)));
}

test("names and passwords may come in the encodings that clients send", async (t) => {
  const password = "şifre güçlü ığİ";
  const dataDir = temporaryFolder(t);
  const hash = await hashPassword(password.normalize("NFC"), CHEAP);
  const hashes = { [TURKISH]: hash, [LATIN]: hash, bob: await hashPassword("çok güzel", CHEAP) };
  const users = Object.entries(hashes).map(([name, password_hash]) => ({ name, role: "user", password_hash }));
  const { auth } = parseConfig(JSON.stringify({ auth: { users } }), "c.yaml");
  const added = "ığdır.ayşegül";
  await usersAdd({ config: auth, dataDir }, { name: added.normalize("NFD"), role: "user", password });
  assert.deepEqual(
    readCredentials(dataDir).users.map(({ name }) => name),
    [added],
  );
  const credentials = new Credentials({ config: auth, dataDir, log: pino({ level: "silent" }) });
  const login = async (bytes: Buffer) => (await credentials.authenticate(`Basic ${bytes.toString("base64")}`)).name;
  assert.equal(await login(Buffer.from(`${added}:${password.normalize("NFD")}`)), added);
  const text = `${TURKISH}:${password}`;
  assert.equal(await login(Buffer.from(text)), TURKISH);
  assert.equal(await login(Buffer.from(text.normalize("NFD"))), TURKISH);
  assert.equal(await login(turkish(text)), TURKISH);
  // Of two readings of a password the one that is right counts.
  assert.equal(await login(turkish(`${LATIN}:${password}`)), LATIN);
  // As Python's requests sends it.
  assert.equal(await login(Buffer.from("bob:çok güzel", "latin1")), "bob");
  await assert.rejects(() => login(turkish(`${LATIN}:${password}!`)), /wrong/);
});
