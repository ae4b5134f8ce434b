/* Users and keys as rows. */
import type { Accounts, RemovedUser, StoredKey, StoredUser } from "../accounts.ts";
import type { Row, Value } from "../thread/columns.ts";
import { arrayOf, columnsOf } from "./arrays.ts";
import { listOf } from "./columns.ts";
import { type Session, together } from "./session.ts";

/** A table of things with names, in the order in which they were added. All of its columns but the number are texts. */
interface Kind<T> {
  readonly table: string;
  readonly columns: readonly string[];
  readonly row: (thing: T) => Value[];
  readonly thing: (row: Row) => T;
}

const USERS: Kind<StoredUser> = {
  table: "users",
  columns: ["name", "role", "team", "password_hash", "created_at"],
  row: ({ name, role, team = null, password_hash = null, created_at }) => [name, role, team, password_hash, created_at],
  thing: (row) => {
    const [name, role, team, password_hash, created_at] = row as [string, StoredUser["role"], ...string[]];
    return { name, role, ...given({ team, password_hash }), created_at: created_at! };
  },
};

const KEYS: Kind<StoredKey> = {
  table: "api_keys",
  columns: ["name", "user", "sha256", "scopes", "models", "expires_at", "previous", "created_at"],
  row: ({ name, user, sha256, scopes, models, expires_at = null, previous, created_at }) => [
    name,
    user,
    sha256,
    textOf(scopes),
    textOf(models),
    expires_at,
    textOf(previous),
    created_at,
  ],
  thing: (row) => {
    const [name, user, sha256, scopes, models, expires_at, previous, created_at] = row as string[];
    const limits = given({ scopes: listIn(scopes), models: listIn(models), expires_at, previous: listIn(previous) });
    return { name: name!, user: user!, sha256: sha256!, ...limits, created_at: created_at! } as StoredKey;
  },
};

const REMOVED: Kind<RemovedUser> = {
  table: "removed_users",
  columns: ["name", "at"],
  row: ({ name, at }) => [name, at],
  thing: (row) => {
    const [name, at] = row as string[];
    return { name: name!, at: at! };
  },
};

/** Reads all of them. In a transaction that sees one moment. */
export async function readAccounts(session: Session): Promise<Accounts> {
  const read = async <T>({ table, columns, thing }: Kind<T>): Promise<T[]> =>
    (await session.rows(`SELECT ${listOf(columns)} FROM ${table} ORDER BY number`)).map(thing);
  const [users, keys, removed] = await Promise.all([read(USERS), read(KEYS), read(REMOVED)]);
  return { users, keys, ...(removed.length > 0 && { removed }) };
}

/** Writes what differs. @returns whether anything does */
export async function writeAccounts(session: Session, before: Accounts, after: Accounts): Promise<boolean> {
  const written = await together([
    writeKind(session, USERS, before.users, after.users),
    writeKind(session, KEYS, before.keys, after.keys),
    writeKind(session, REMOVED, before.removed ?? [], after.removed ?? []),
  ]);
  return written.some(Boolean);
}

async function writeKind<T extends { readonly name: string }>(
  session: Session,
  { table, columns, row }: Kind<T>,
  before: readonly T[],
  after: readonly T[],
): Promise<boolean> {
  const known = new Map(before.map((one) => [one.name, JSON.stringify(row(one))]));
  const wanted = new Set(after.map(({ name }) => name));
  const kept = before.filter(({ name }) => wanted.has(name));
  // Rows keep their numbers. Where those would not give the order that is wanted, all are written anew.
  const isInOrder = kept.every(({ name }, place) => after[place]?.name === name);
  const gone = isInOrder ? before.filter(({ name }) => !wanted.has(name)) : before;
  const news = after.filter((one) => !isInOrder || known.get(one.name) !== JSON.stringify(row(one)));
  const writes: Promise<number>[] = [];
  if (gone.length > 0) {
    const names = arrayOf(gone.map(({ name }) => name));
    writes.push(session.change(`DELETE FROM ${table} WHERE name = ANY(:names::text[])`, { names }));
  }
  if (news.length > 0) writes.push(session.change(upsert(table, columns), columnsOf(news.map(row), columns.length)));
  await together(writes);
  return writes.length > 0;
}

function upsert(table: string, columns: readonly string[]): string {
  const arrays = columns.map((_, place) => `:c${place}::text[]`);
  return `INSERT INTO ${table} (${listOf(columns)})
    SELECT ${listOf(columns)} FROM unnest(${arrays.join()}) WITH ORDINALITY AS new (${listOf([...columns, "place"])}) ORDER BY place
    ON CONFLICT (name) DO UPDATE SET ${columns.map((name) => `"${name}" = excluded."${name}"`).join()}`;
}

function textOf(list: readonly unknown[] | undefined): string | null {
  return list === undefined ? null : JSON.stringify(list);
}

function listIn(text: string | null | undefined): unknown[] | null {
  return text === null || text === undefined ? null : (JSON.parse(text) as unknown[]);
}

/** Without what is null. */
function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as Partial<T>;
}
