/** The commands `alt-las users …` and `alt-las keys …`. Each returns the text to print, or throws `AltLasError` with a sentence. */
import { wallTimeText } from "../common/clock.ts";
import { ROLES, UserSchema, type Config, type Role } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { ALT_LAS, dataDirWords, shellWord } from "../common/paste.ts";
import { table } from "../cli/table.ts";
import { makeAjv, misfitOf, shown } from "../common/validation.ts";
import { absentCredentials, changeCredentials, readCredentials, type CredentialsFile } from "./file.ts";
import { hashApiKey, hashPassword, MIN_PASSWORD_LENGTH, newApiKey } from "./secrets.ts";

/** Where the credentials are: the configuration is only read, the data directory is changed. */
export interface CommandContext {
  readonly config: Config["auth"];
  readonly dataDir: string;
}

const validName = makeAjv().compile(UserSchema.properties.name);
/** Longer ones are a mistake of the shell, and would be work for nothing. */
const MAX_PASSWORD_LENGTH = 1024;

/** `users add <name> --role <role> [--password-stdin]` */
export async function usersAdd(
  context: CommandContext,
  options: { readonly name: string; readonly role: string; readonly password?: string | undefined },
): Promise<string> {
  const { password } = options;
  const name = options.name.normalize("NFC");
  checkName(name, "user");
  const role = checkRole(options.role);
  const password_hash = password === undefined ? undefined : await usersHash(password, name);
  const begins = beginning(context);
  return changeCredentials(context.dataDir, (file) => {
    if (roleOf(context.config, file, name) !== undefined) {
      refuse(`User ${name} exists already. To change it, remove it first; its tasks stay, its keys go.`);
    }
    const user = { name, role, ...(password_hash !== undefined && { password_hash }), created_at: now() };
    const next =
      password_hash === undefined
        ? ` Give it a key with: ${ALT_LAS} keys add --user ${shellWord(name)}${dataDirWords(context.dataDir)}`
        : "";
    return {
      file: { ...file, users: [...file.users, user] },
      result: `${begins}User ${name} is now ${article(role)}.${next}`,
    };
  });
}

/** "" where there is a file to add to, or never was one. */
function beginning({ config, dataDir }: CommandContext): string {
  const absence = absentCredentials(dataDir, config);
  return absence === null ? "" : `${absence}; this begins a new file.\n`;
}

/** `users list` */
export function usersList({ config, dataDir }: CommandContext): string {
  const file = readCredentials(dataDir);
  const keysOf = (name: string) => [...config.keys, ...file.keys].filter((key) => key.user === name).length;
  const rows = [
    ...config.users.map((user) => ({ ...user, kept: "configuration" })),
    ...file.users.filter((user) => !inConfig(config, user.name)).map((user) => ({ ...user, kept: user.created_at })),
  ].map(({ name, role, password_hash, kept }) => [
    name,
    role,
    password_hash === undefined ? "no" : "yes",
    String(keysOf(name)),
    kept,
  ]);
  const users = rows.length === 0 ? "There are no users." : table(["USER", "ROLE", "PASSWORD", "KEYS", "SINCE"], rows);
  return withAbsence({ config, dataDir }, users);
}

/** `users remove <name>`: its keys go too, its tasks stay. */
export function usersRemove({ config, dataDir }: CommandContext, given: string): string {
  const name = given.normalize("NFC");
  return changeCredentials(dataDir, (file) => {
    if (!file.users.some((user) => user.name === name)) {
      refuse(
        inConfig(config, name)
          ? `User ${name} is in the configuration; remove it there, under auth.users.`
          : `There is no user ${name}.`,
      );
    }
    const users = file.users.filter((user) => user.name !== name);
    const isAdmin = roleOf(config, file, name) === "admin";
    if (isAdmin && ![...config.users, ...users].some((user) => user.role === "admin")) {
      refuse(`User ${name} is the last admin; add another one first.`);
    }
    // A user of the same name in the configuration keeps its keys.
    const keys = inConfig(config, name) ? file.keys : file.keys.filter((key) => key.user !== name);
    const gone = file.keys.length - keys.length;
    return { file: { ...file, users, keys }, result: `User ${name} is removed, with ${count(gone, "key")}.` };
  });
}

/**
 * `users hash`: what `auth.users[].password_hash` of the configuration wants.
 * @param user whose password it shall be; null: not known
 */
export async function usersHash(password: string, user: string | null = null): Promise<string> {
  const { length } = password;
  if (length < MIN_PASSWORD_LENGTH || length > MAX_PASSWORD_LENGTH) {
    refuse(`A password has ${MIN_PASSWORD_LENGTH} to ${MAX_PASSWORD_LENGTH} characters; this one has ${length}.`);
  }
  // The list is long, and no other command needs it.
  const { weaknessOf } = await import("./weak-passwords.ts");
  const weakness = weaknessOf(password, user);
  if (weakness !== null)
    refuse(`This password ${weakness}; take another one, such as four words that do not belong together.`);
  return hashPassword(password);
}

/** `keys add --user <name> [--name <label>]`: the key is on the last line, and nowhere else. */
export function keysAdd(
  { config, dataDir }: CommandContext,
  options: { readonly user: string; readonly name?: string | undefined },
): string {
  const user = options.user.normalize("NFC");
  const label = options.name?.normalize("NFC");
  const checkUser = (file: CredentialsFile): void => {
    if (roleOf(config, file, user) !== undefined) return;
    const command = `${ALT_LAS} users add ${shellWord(user)} --role ROLE${dataDirWords(dataDir)}`;
    refuse(`There is no user ${user}. Make it, with the role ${ROLES.join(", ")}: ${command}`);
  };
  if (label !== undefined) checkName(label, "key");
  // Before the lock is taken, which would make the folder.
  checkUser(readCredentials(dataDir));
  const key = newApiKey();
  const begins = beginning({ config, dataDir });
  return changeCredentials(dataDir, (file) => {
    checkUser(file);
    const taken = new Set([...config.keys, ...file.keys].map(({ name }) => name));
    const name = label ?? freeName(user, taken);
    if (taken.has(name)) refuse(`A key named ${name} exists already.`);
    const entry = { name, user, sha256: hashApiKey(key), created_at: now() };
    const result = `${begins}Key ${name} of user ${user}, shown only this once:\n${key}`;
    return { file: { ...file, keys: [...file.keys, entry] }, result };
  });
}

/** `keys list` */
export function keysList({ config, dataDir }: CommandContext): string {
  const rows = [
    ...config.keys.map((key) => [key.name, key.user, "configuration"]),
    ...readCredentials(dataDir).keys.map((key) => [key.name, key.user, key.created_at]),
  ];
  return withAbsence(
    { config, dataDir },
    rows.length === 0 ? "There are no keys." : table(["KEY", "USER", "SINCE"], rows),
  );
}

/** A list that is short because its file is gone has to say so. */
function withAbsence({ config, dataDir }: CommandContext, list: string): string {
  const absence = absentCredentials(dataDir, config);
  return absence === null
    ? list
    : `${list}
${absence}. Put a copy back, if there were any.`;
}

/** `keys revoke <name>`: a running server refuses it from the next request on. */
export function keysRevoke({ config, dataDir }: CommandContext, given: string): string {
  const name = given.normalize("NFC");
  return changeCredentials(dataDir, (file) => {
    const keys = file.keys.filter((key) => key.name !== name);
    if (keys.length === file.keys.length) {
      const configured = config.keys.some((key) => key.name === name);
      refuse(configured ? `Key ${name} is in the configuration; remove it there.` : `There is no key ${name}.`);
    }
    return { file: { ...file, keys }, result: `Key ${name} is revoked.` };
  });
}

/** The password on standard input, without the end of its line. */
export async function readPassword(input: AsyncIterable<string | Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of input) chunks.push(Buffer.from(chunk));
  const password = Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
  if (/[\r\n]/.test(password)) refuse("The password must be a single line.");
  return password;
}

function roleOf(config: Config["auth"], file: CredentialsFile, name: string): Role | undefined {
  return [...config.users, ...file.users].find((user) => user.name === name)?.role;
}

function inConfig(config: Config["auth"], name: string): boolean {
  return config.users.some((user) => user.name === name);
}

function freeName(user: string, taken: ReadonlySet<string>): string {
  // Room for the number, whatever the length of the user's name.
  const stem = [...user].slice(0, 56).join("");
  for (let i = 1; ; i++) {
    if (!taken.has(`${stem}-${i}`)) return `${stem}-${i}`;
  }
}

function checkName(name: string, what: string): void {
  if (!validName(name)) refuse(misfitOf(validName, `the name of a ${what}`).sentence);
}

function checkRole(role: string): Role {
  const known = ROLES.find((name) => name === role);
  return known ?? refuse(`The role must be one of ${ROLES.join(", ")}; got ${shown(role)}.`);
}

function article(role: Role): string {
  return `${role === "admin" ? "an" : "a"} ${role}`;
}

function count(n: number, what: string): string {
  return n === 1 ? `1 ${what}` : `${n} ${what}s`;
}

function now(): string {
  return wallTimeText();
}

function refuse(sentence: string): never {
  throw new AltLasError("bad_config", sentence);
}
