/**
 * Changes users, for the command line and for admins over HTTP; keys.ts has their keys. Those of the configuration are only read. They are in
 * the data directory, or with the tasks on PostgreSQL.
 */
import { wallTimeText } from "../common/clock.ts";
import { checkFor } from "../common/ajv.ts";
import { ALT_LAS } from "../common/paste.ts";
import { misfitOf, shown } from "../common/validation.ts";
import { ROLES, UserSchema, type Config, type Role } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import type { Accounts, AccountStore, Change, StoredKey, StoredUser } from "../store/accounts.ts";
import { nameOf } from "./anonymous.ts";
import { FileAccounts } from "./file.ts";
import { hashPassword, MIN_PASSWORD_LENGTH } from "./secrets.ts";

/** Where the credentials are: the configuration is only read, the place of the others is changed. */
export interface AccountsContext {
  readonly config: Config["auth"];
  readonly dataDir: string;
  /** As `--config` named it, for the commands that are advised. */
  readonly configFile?: string | undefined;
  /** undefined: the file in the data directory. */
  readonly accounts?: AccountStore | undefined;
  /** Milliseconds to wait for another process that changes the file; absent: as long as a command may. */
  readonly patience?: number;
}

/** The place of users and keys. */
export function storeIn({ accounts, dataDir, patience }: Omit<AccountsContext, "config">): AccountStore {
  return accounts ?? new FileAccounts(dataDir, patience);
}

/** Settings that a user may have beside its role. */
interface UserSettings {
  /** "": none. */
  readonly team?: string | undefined;
  readonly password?: string | undefined;
}

/** A user as admins see it. */
export interface Account {
  readonly name: string;
  readonly role: Role;
  /** null: it is in none. */
  readonly team: string | null;
  readonly hasPassword: boolean;
  /** How many keys it has. */
  readonly keys: number;
  /** When it was made; null: it is in the configuration. */
  readonly createdAt: string | null;
}

const validName = checkFor(UserSchema.properties.name);
/** Longer ones are a mistake of the shell, and would be work for nothing. */
const MAX_PASSWORD_LENGTH = 1024;

/** All users, those of the configuration first. */
export async function listUsers(context: AccountsContext): Promise<Account[]> {
  const { config } = context;
  const accounts = await storeIn(context).read();
  const keys = keysIn(config, accounts);
  const view = (user: Config["auth"]["users"][number], createdAt: string | null): Account => ({
    name: nameOf(user.name),
    role: user.role,
    team: user.team === undefined ? null : nameOf(user.team),
    hasPassword: user.password_hash !== undefined,
    keys: keys.filter((key) => nameOf(key.user) === nameOf(user.name)).length,
    createdAt,
  });
  return [
    ...config.users.map((user) => view(user, null)),
    ...accounts.users.filter(({ name }) => !isConfigured(config, name)).map((user) => view(user, user.created_at)),
  ];
}

/** @throws {AltLasError} `not_found` */
async function userNamed(context: AccountsContext, given: string): Promise<Account> {
  const name = nameOf(given);
  const users = await listUsers(context);
  return users.find((user) => user.name === name) ?? refuse("not_found", `There is no user ${name}.`);
}

/**
 * @param options with `again` it may have the name of a removed user, and all that this one has left
 * @throws {AltLasError} `invalid_input`, `conflict`: there is one of that name, or there was one
 */
export async function addUser(
  context: AccountsContext,
  options: { readonly name: string; readonly role: string; readonly again?: boolean | undefined } & UserSettings,
): Promise<Account> {
  const name = nameOf(options.name);
  checkName(name, "user");
  const role = checkRole(options.role);
  const team = teamIn(options.team);
  const password_hash = options.password === undefined ? undefined : await passwordHash(options.password, name);
  await change(context, (accounts) => {
    if (findUser(context.config, accounts, name) !== undefined) {
      const sentence = `User ${name} exists already. Change it, or remove it first; its tasks stay, its keys go.`;
      refuse("conflict", sentence);
    }
    const user: StoredUser = {
      name,
      role,
      ...(team !== null && { team }),
      ...(password_hash !== undefined && { password_hash }),
      created_at: wallTimeText(),
    };
    if (options.again !== true) refuseRemoved(accounts, name);
    return { accounts: { ...withoutRemoval(accounts, name), users: [...accounts.users, user] }, result: null };
  });
  return userNamed(context, name);
}

/**
 * Gives a user that is not of the configuration another role, team or password.
 * @throws {AltLasError} `invalid_input`; `not_found`; `conflict`: it is in the configuration, or the last admin
 */
export async function changeUser(
  context: AccountsContext,
  given: string,
  changes: { readonly role?: string | undefined } & UserSettings,
): Promise<Account> {
  const name = nameOf(given);
  const role = changes.role === undefined ? undefined : checkRole(changes.role);
  const newTeam = changes.team === undefined ? undefined : teamIn(changes.team);
  const password_hash = changes.password === undefined ? undefined : await passwordHash(changes.password, name);
  await change(context, (accounts) => {
    const user = storedUser(context.config, accounts, name, "change");
    const { team: was = null, ...rest } = user;
    const team = newTeam === undefined ? was : newTeam;
    if (role !== undefined && role !== "admin") refuseLastAdmin(context.config, accounts, user);
    const changed: StoredUser = {
      ...rest,
      ...(team !== null && { team }),
      ...(role !== undefined && { role }),
      ...(password_hash !== undefined && { password_hash }),
    };
    const users = accounts.users.map((one) => (one === user ? changed : one));
    return { accounts: { ...accounts, users }, result: null };
  });
  return userNamed(context, name);
}

/**
 * Removes a user that is not of the configuration with its keys; its tasks stay.
 * @returns how many keys went with it
 * @throws {AltLasError} `not_found`; `conflict`: it is in the configuration, or the last admin
 */
export async function removeUser(context: AccountsContext, given: string): Promise<number> {
  const { config } = context;
  const name = nameOf(given);
  return change(context, (accounts) => {
    const user = storedUser(config, accounts, name, "remove");
    refuseLastAdmin(config, accounts, user);
    // A user of the same name in the configuration keeps its keys.
    const keys = isConfigured(config, name) ? accounts.keys : accounts.keys.filter((key) => key.user !== name);
    const users = accounts.users.filter((one) => one !== user);
    const removed = [...(withoutRemoval(accounts, name).removed ?? []), { name, at: wallTimeText() }];
    return { accounts: { ...accounts, users, keys, removed }, result: accounts.keys.length - keys.length };
  });
}

/** Another person of the same name would read what the first one has asked. @throws {AltLasError} `conflict` */
function refuseRemoved({ removed = [] }: Accounts, name: string): void {
  const was = removed.find((one) => one.name === name);
  if (was === undefined) return;
  const sentence = `A user ${name} was removed at ${was.at}, and what it had may still be stored: a new one would have it. Take another name; remove what is stored first, with "${ALT_LAS} forget --user ${name}"; or, if it is the same person, add it again (--again, or "again": true over HTTP).`;
  refuse("conflict", sentence);
}

/** Forgets what a removed user had, so its name is free for anybody. */
export async function freeName(context: Omit<AccountsContext, "config">, given: string): Promise<void> {
  const name = nameOf(given);
  const store = storeIn(context);
  const { removed = [] } = await store.read();
  if (!removed.some((one) => one.name === name)) return;
  await store.change((accounts) => ({ accounts: withoutRemoval(accounts, name), result: null }));
}

function withoutRemoval({ removed = [], ...rest }: Accounts, name: string): Accounts {
  const others = removed.filter((one) => one.name !== name);
  return { ...rest, ...(others.length > 0 && { removed: others }) };
}

/**
 * The hash of a password that is good enough.
 * @param user whose it shall be; null: not known
 * @throws {AltLasError} `invalid_input`: it is too short, too long or easy to guess
 */
export async function passwordHash(password: string, user: string | null): Promise<string> {
  const { length } = password;
  if (length < MIN_PASSWORD_LENGTH || length > MAX_PASSWORD_LENGTH) {
    const sentence = `A password has ${MIN_PASSWORD_LENGTH} to ${MAX_PASSWORD_LENGTH} characters; this one has ${length}.`;
    refuse("invalid_input", sentence);
  }
  // The list is long, and little else needs it.
  const { weaknessOf } = await import("./weak-passwords.ts");
  const weakness = weaknessOf(password, user);
  if (weakness !== null) {
    const sentence = `This password ${weakness}; take another one, such as four words that do not belong together.`;
    refuse("invalid_input", sentence);
  }
  return hashPassword(password);
}

/** As the store's. */
export function change<T>(context: AccountsContext, by: Change<T>): Promise<T> {
  return storeIn(context).change(by);
}

/** Those of the configuration, then the others. */
export function keysIn(config: Config["auth"], accounts: Accounts): (Config["auth"]["keys"][number] | StoredKey)[] {
  return [...config.keys, ...accounts.keys];
}

/** By its name in NFC. */
export function findUser(
  config: Config["auth"],
  accounts: Accounts,
  name: string,
): { readonly role: Role } | undefined {
  return [...config.users, ...accounts.users].find((user) => nameOf(user.name) === name);
}

function isConfigured(config: Config["auth"], name: string): boolean {
  return config.users.some((user) => nameOf(user.name) === nameOf(name));
}

function storedUser(config: Config["auth"], accounts: Accounts, name: string, what: "change" | "remove"): StoredUser {
  const user = accounts.users.find((one) => one.name === name);
  if (user !== undefined) return user;
  if (isConfigured(config, name))
    refuse("conflict", `User ${name} is in the configuration; ${what} it there, under auth.users.`);
  return refuse("not_found", `There is no user ${name}.`);
}

function refuseLastAdmin(config: Config["auth"], accounts: Accounts, user: StoredUser): void {
  if (findUser(config, accounts, user.name)?.role !== "admin") return;
  const others = [...config.users, ...accounts.users].filter((one) => one !== user);
  if (!others.some(({ role }) => role === "admin"))
    refuse("conflict", `User ${user.name} is the last admin; add another one first.`);
}

/** @throws {AltLasError} `invalid_input` */
export function checkName(name: string, what: string): void {
  if (!validName(name)) refuse("invalid_input", misfitOf(validName, `the name of a ${what}`).sentence);
}

/** @throws {AltLasError} `invalid_input` */
function teamIn(given: string | undefined): string | null {
  if (given === undefined || given === "") return null;
  const team = nameOf(given);
  checkName(team, "team");
  return team;
}

function checkRole(role: string): Role {
  const known = ROLES.find((name) => name === role);
  return known ?? refuse("invalid_input", `The role must be one of ${ROLES.join(", ")}; got ${shown(role)}.`);
}

export function refuse(code: "invalid_input" | "not_found" | "conflict", sentence: string): never {
  throw new AltLasError(code, sentence);
}
