/** The commands `alt-las users …` and `alt-las keys …`. Each returns the text to print, or throws `AltLasError` with a sentence. */
import { isoTime, wallTime } from "../common/clock.ts";
import { ALT_LAS, placeWords, shellWord } from "../common/paste.ts";
import { shown } from "../common/validation.ts";
import { table } from "../cli/table.ts";
import { ROLES, type Role } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import {
  type Account,
  type AccountsContext,
  addUser,
  changeUser,
  listUsers,
  passwordHash,
  removeUser,
  storeIn,
} from "./accounts.ts";
import { said, saidAlone } from "../words/terminal.ts";
import { nameOf } from "./anonymous.ts";
import { absenceIn } from "./file.ts";
import { addKey, listKeys, OVERLAP, revokeKey, rotateKey } from "./keys.ts";

export { type AccountsContext as CommandContext } from "./accounts.ts";

/** `users add <name> --role <role> [--team <team>] [--password-stdin]` */
export async function usersAdd(context: AccountsContext, options: Parameters<typeof addUser>[1]): Promise<string> {
  const begins = beginning(context);
  const user = await addUser(context, options);
  const next = user.hasPassword
    ? ""
    : ` Give it a key with: ${ALT_LAS} keys add --user ${shellWord(user.name)}${placeWords(context.dataDir, context.configFile)}`;
  return `${begins}${nowIs(user)}${next}`;
}

/** "" where there is a file to add to, or never was one. */
function beginning(context: AccountsContext): string {
  const absence = absenceIn(context);
  return absence === null ? "" : `${absence}; this begins a new file.\n`;
}

/** `users set <name> [--role <role>] [--team <team> | --no-team]`: its keys, password and tasks stay. */
export async function usersSet(
  context: AccountsContext,
  name: string,
  { role, team }: { readonly role?: string | undefined; readonly team?: string | false | undefined },
): Promise<string> {
  if (role === undefined && team === undefined)
    refuse("Say what to change: --role ROLE, --team TEAM, or --no-team to take the user out of its team.");
  const user = await changeUser(context, name, { role, team: team === false ? "" : team });
  return nowIs(user, team === false ? ", in no team" : "");
}

/** @param noTeam what is said of a user that is in none */
function nowIs({ name, role, team }: Account, noTeam = ""): string {
  const inTeam = team === null ? noTeam : `, in the team ${team}`;
  const sees = team === null ? ", and sees what everybody has" : ", and sees only what is the team's";
  return `User ${name} is now ${article(role)}${inTeam}${role === "viewer" && inTeam !== "" ? sees : ""}.`;
}

/** `users password <name>`: what is on standard input is its password from the next request on. */
export async function usersPassword(context: AccountsContext, name: string, password: string): Promise<string> {
  const user = await changeUser(context, name, { password });
  return `User ${user.name} has another password; its keys go on.`;
}

/** `users list` */
export async function usersList(context: AccountsContext): Promise<string> {
  const users = await listUsers(context);
  const hasTeams = users.some(({ team }) => team !== null);
  const rows = users.map(({ name, role, hasPassword, keys, createdAt, team }) => [
    name,
    role,
    said(hasPassword ? "yes" : "no"),
    String(keys),
    createdAt ?? said("configuration"),
    ...(hasTeams ? [team ?? "-"] : []),
  ]);
  const head = ["USER", "ROLE", "PASSWORD", "KEYS", "SINCE", ...(hasTeams ? ["TEAM"] : [])];
  return withAbsence(context, rows.length === 0 ? "There are no users." : table(head, rows));
}

/** `users remove <name>`: its keys go too, its tasks stay. */
export async function usersRemove(context: AccountsContext, given: string): Promise<string> {
  const gone = await removeUser(context, given);
  return `User ${nameOf(given)} is removed, with ${gone === 1 ? "1 key" : `${gone} keys`}.`;
}

/**
 * `users hash`: what `auth.users[].password_hash` of the configuration wants.
 * @param user whose password it shall be; null: not known
 */
export function usersHash(password: string, user: string | null = null): Promise<string> {
  return passwordHash(password, user);
}

/** As the command line has them. */
export interface KeyOptions {
  readonly user: string;
  readonly name?: string | undefined;
  /** Separated by commas. */
  readonly scopes?: string | undefined;
  /** Separated by commas. */
  readonly models?: string | undefined;
  /** A time, or how long it lasts, like "90d". */
  readonly expires?: string | undefined;
}

/** `keys add --user <name> [--name <label>] …`: the key is on the last line, and nowhere else. */
export async function keysAdd(
  context: AccountsContext,
  { user, name, scopes, models, expires }: KeyOptions,
): Promise<string> {
  const begins = beginning(context);
  await refuseUnknownUser(context, user);
  const key = await addKey(context, {
    user,
    name,
    scopes: listIn(scopes),
    models: listIn(models),
    expiresAt: expires === undefined ? undefined : timeIn(expires),
  });
  return `${begins}Key ${key.name} of user ${key.user}, shown only this once:\n${key.key}`;
}

async function refuseUnknownUser(context: AccountsContext, given: string): Promise<void> {
  const user = nameOf(given);
  if ((await listUsers(context)).some(({ name }) => name === user)) return;
  const command = `${ALT_LAS} users add ${shellWord(user)} --role ROLE${placeWords(context.dataDir, context.configFile)}`;
  refuse(`There is no user ${user}. Make it, with one of the roles ${ROLES.join(", ")}: ${command}`);
}

/** `keys rotate <name> [--overlap <time>]`: the new key is on the last line, and nowhere else. */
export async function keysRotate(context: AccountsContext, name: string, overlap?: string): Promise<string> {
  const seconds = overlap === undefined ? OVERLAP : secondsIn(overlap);
  const key = await rotateKey(context, name, seconds);
  const before = key.previousUntil === null ? "ends now" : `goes on until ${key.previousUntil}`;
  return `The key before ${before}. Key ${key.name} of user ${key.user}, shown only this once:\n${key.key}`;
}

/** `keys list` */
export async function keysList(context: AccountsContext): Promise<string> {
  const uses = await storeIn(context).uses();
  const keys = await listKeys(context);
  // Of most servers no key is on its way out, and the table is wide.
  const isRotated = keys.some(({ previousUntil }) => previousUntil !== null);
  const rows = keys.map((key) => [
    key.name,
    key.user,
    key.scopes?.join(",") ?? saidAlone("all"),
    key.models?.join(",") ?? saidAlone("all"),
    key.expiresAt ?? said("never"),
    uses.get(key.sha256) ?? "-",
    key.createdAt ?? said("configuration"),
    ...(isRotated ? [key.previousUntil ?? "-"] : []),
  ]);
  const head = ["KEY", "USER", "SCOPES", "MODELS", "EXPIRES", "LAST USED", "SINCE"];
  if (isRotated) head.push("ONE BEFORE UNTIL");
  return withAbsence(context, rows.length === 0 ? "There are no keys." : table(head, rows));
}

/** A list that is short because its file is gone has to say so. */
function withAbsence(context: AccountsContext, list: string): string {
  const absence = absenceIn(context);
  return absence === null ? list : `${list}\n${absence}. Put a copy back, if there were any.`;
}

/** `keys revoke <name>`: a running server refuses it from the next request on. */
export async function keysRevoke(context: AccountsContext, name: string): Promise<string> {
  return `Key ${(await revokeKey(context, name)).name} is revoked.`;
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

function listIn(given: string | undefined): string[] | undefined {
  return given?.split(",").map((one) => one.trim());
}

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

function secondsIn(given: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(given) ?? [];
  if (count === undefined)
    return refuse(`The time must be a number with its unit, like 30m, 24h or 90d; got ${shown(given)}.`);
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}

function timeIn(given: string): string {
  return given.includes("T") ? given : isoTime(wallTime() + secondsIn(given) * 1000);
}

function article(role: Role): string {
  return `${role === "admin" ? "an" : "a"} ${role}`;
}

function refuse(sentence: string): never {
  throw new AltLasError("bad_config", sentence);
}
