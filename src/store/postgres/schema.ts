/* Checks whose database it is, and whether it can be used as it is, and brings it to the present schema. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "../../common/version.ts";
import { badConfig, pooled, readOnly } from "./failures.ts";
import { quoted, Session, type SessionPlace } from "./session.ts";

const MIGRATIONS = join(import.meta.dirname, "migrations");
/** The oldest version of PostgreSQL that will do. */
const OLDEST = 14;
/** "ALAS", for an advisory lock. */
const LOCK = 0x414c4153;
/** How often two sessions are looked at, to see whether they share a process. */
const LOOKS = 5;

/**
 * Nothing is written before this has passed.
 * @param ending gives it up, where the session is ended, too
 * @throws {AltLasError} `bad_config`
 */
export async function checkServer(
  session: Session,
  place: SessionPlace,
  shown: string,
  ending?: AbortSignal,
): Promise<void> {
  const [row] = await session.rows(`
    SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(),
      current_setting('transaction_read_only'), current_setting('server_encoding')`);
  const [number, version, isStandby, isReadOnly, encoding] = row as unknown as [
    number,
    string,
    boolean,
    string,
    string,
  ];
  if (number < OLDEST * 10_000)
    throw badConfig(`PostgreSQL at ${shown} is version ${version}; ALT_LAS needs ${OLDEST} or later`);
  if (isStandby || isReadOnly === "on") throw readOnly(shown);
  if (encoding !== "UTF8")
    throw badConfig(
      `the database at ${shown} is in the encoding ${encoding}; ALT_LAS needs one in UTF8: createdb -E UTF8 -T template0 makes it`,
    );
  if (await isPooled(session, place, ending)) throw pooled(shown);
}

/**
 * Whether statements of one session are run by several processes of PostgreSQL, or one process serves several sessions. Without a pooler
 * the process is the one that was named when the session began, and nothing else has to be asked.
 */
async function isPooled(session: Session, place: SessionPlace, ending?: AbortSignal): Promise<boolean> {
  const own = await processOf(session);
  if (own === session.process) return false;
  const other = await Session.open(place, ending);
  const giveUp = (): void => other.destroy();
  ending?.addEventListener("abort", giveUp);
  try {
    for (let look = 0; look < LOOKS; look++) {
      await other.run("BEGIN");
      const others = await processOf(other);
      if (others === own || (await processOf(session)) !== own) return true;
      await other.run("COMMIT");
    }
    return false;
  } finally {
    ending?.removeEventListener("abort", giveUp);
    other.destroy();
  }
}

async function processOf(session: Session): Promise<number | undefined> {
  return (await session.numbers("SELECT pg_backend_pid()"))[0];
}

/**
 * Makes the schema, and applies the migrations that are missing, each in a transaction of its own. Servers that start together do so one
 * after the other.
 * @param place `keep` keeps the lease, which nobody else can take or renew from then until the end of the transaction; absent: no server has led
 * @param tell hears of each that is applied to a database that has some
 * @throws {AltLasError} `bad_config` when it is of another program or a newer version; nothing is written then
 */
export async function migrate(
  session: Session,
  place: { readonly schema: string; readonly shown: string; readonly keep?: (() => Promise<void>) | undefined },
  tell: (step: number, last: number, file: string) => void,
): Promise<void> {
  const { schema, shown, keep } = place;
  const files = migrations();
  for (let done = 0; done < files.length; done++) {
    // Another one may bring a million rows to a new schema meanwhile.
    await session.run(
      `BEGIN; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(${LOCK}); SET LOCAL lock_timeout = '10s'`,
    );
    const present = await presentSchema(session, schema, shown);
    if (present > files.length) throw newer(shown, present, files.length);
    if (present === 0) await makeSchema(session, schema);
    done = present;
    const file = files[present];
    if (file !== undefined) {
      await keep?.();
      if (present > 0) tell(present + 1, files.length, file);
      await session.run(readFileSync(join(MIGRATIONS, file), "utf8"));
      const noted = "INSERT INTO migrations (number, name, version) VALUES (:number, :file, :version)";
      await session.change(noted, { number: present + 1, file, version: VERSION });
      // The step may have taken longer than it lasts.
      await keep?.();
    }
    await session.run("COMMIT");
  }
}

/** The migrations that are missing in a schema that an earlier version of ours has made; null: nobody has made it. @throws {AltLasError} it is of another program */
export async function missingIn(session: Session, schema: string, shown: string): Promise<number | null> {
  const present = await presentSchema(session, schema, shown);
  return present === 0 ? null : migrations().length - present;
}

/** The migrations that a database has. */
const VERSIONS = `
  CREATE TABLE migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    version    text NOT NULL, -- of ALT_LAS
    applied_at timestamptz NOT NULL DEFAULT now()
  )`;

/** One that is there may be the role's own, which may make none. */
async function makeSchema(session: Session, schema: string): Promise<void> {
  const isThere = (await session.rows("SELECT 1 FROM pg_namespace WHERE nspname = :schema", { schema })).length > 0;
  if (!isThere) await session.run(`CREATE SCHEMA ${quoted(schema)}`);
  await session.run(VERSIONS);
}

/** The number of its last migration; 0: it has none, and nothing else either. */
async function presentSchema(session: Session, schema: string, shown: string): Promise<number> {
  const [row] = await session.rows(
    `SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = n.oid),
       (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass(:table) AND attname IN ('number', 'name', 'version'))
     FROM pg_namespace n WHERE nspname = :schema`,
    { schema, table: `${quoted(schema)}.migrations` },
  );
  const [relations = 0, columns = 0] = (row ?? []) as number[];
  if (relations === 0) return 0;
  const first = "SELECT name, (SELECT max(number) FROM migrations) FROM migrations WHERE number = 1";
  const [name, last] = columns === 3 ? ((await session.rows(first))[0] ?? []) : [];
  if (name === migrations()[0]) return last as number;
  const sentence = `the schema ${schema} of the database at ${shown} is of another program; choose another store.schema`;
  throw badConfig(sentence);
}

function newer(shown: string, present: number, known: number): Error {
  const sentence = `the database at ${shown} was written by a newer version of ALT_LAS (schema ${present}, this version knows up to ${known}); run that version`;
  return badConfig(sentence);
}

/** Numbered from 1 without a gap. */
function migrations(): string[] {
  return readdirSync(MIGRATIONS)
    .filter((file) => file.endsWith(".sql"))
    .toSorted();
}
