/* The facts that a look at a PostgreSQL server tells of a database of ours. The look changes nothing, and needs no lease. */
import { isoTime } from "../../common/clock.ts";
import { alone } from "./alone.ts";
import { checkServer } from "./schema.ts";
import { openFailure, shownUrl } from "./failures.ts";
import type { Session } from "./session.ts";
import { LOOSE_STANDBYS } from "./standbys.ts";
import { markOf } from "./unfinished.ts";

/** Settings that matter, as a new session has them. */
const SETTINGS = [
  ..."fsync full_page_writes synchronous_commit synchronous_standby_names autovacuum max_connections".split(" "),
  ..."superuser_reserved_connections idle_session_timeout idle_in_transaction_session_timeout statement_timeout".split(
    " ",
  ),
];
/** Statements that are named. */
const SLOWEST = 3;
/** Characters of a statement that are shown. */
const SHOWN = 120;

export interface TableHealth {
  readonly name: string;
  /** With its indexes and long values. */
  readonly bytes: number;
  readonly liveRows: number;
  readonly deadRows: number;
  /** ISO 8601; null: never. */
  readonly vacuumed: string | null;
}

export interface SlowStatement {
  readonly text: string;
  readonly calls: number;
  /** Milliseconds, on average. */
  readonly mean: number;
}

export interface PostgresHealth {
  /** Without a login. */
  readonly at: string;
  readonly version: string;
  readonly settings: ReadonlyMap<string, string>;
  /** Of all clients. */
  readonly connections: number;
  /** Those that this role may have; null: any number. */
  readonly roleLimit: number | null;
  /** Those that are not waited for by a commit. */
  readonly looseStandbys: number;
  /** The number of the last migration; null: there are no tables yet. */
  readonly schema: number | null;
  /** Whether a copy into it was broken off. */
  readonly isPart: boolean;
  /** The largest first. */
  readonly tables: readonly TableHealth[];
  /** The slowest of this role on average; null: `pg_stat_statements` is not there. */
  readonly slowest: readonly SlowStatement[] | null;
}

/** @throws {AltLasError} a server could not start on it, for the reason in its sentence */
export async function postgresHealth(url: string, schema: string): Promise<PostgresHealth> {
  const at = shownUrl(url);
  const place = { url, schema, name: "alt-las doctor" };
  try {
    return await alone(place, async (session, ending) => {
      await checkServer(session, place, at, ending);
      return { at, ...(await looked(session, schema)) };
    });
  } catch (error) {
    throw openFailure(error, at);
  }
}

/** A role that may not see other roles' sessions reads NULL of them: those are counted as clients. */
async function looked(session: Session, schema: string): Promise<Omit<PostgresHealth, "at">> {
  const [[version, connections, roleLimit, standbys] = []] = await session.rows(`
    SELECT current_setting('server_version'),
      (SELECT count(*) FROM pg_stat_activity
        WHERE coalesce(backend_type, 'client backend') = 'client backend' AND pid <> pg_backend_pid()),
      (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
      (${LOOSE_STANDBYS})`);
  const named = SETTINGS.map((name) => `'${name}'`).join();
  const settings = await session.rows(`SELECT name, reset_val FROM pg_settings WHERE name IN (${named})`);
  return {
    version: version as string,
    settings: new Map(settings as unknown as [string, string][]),
    connections: connections as number,
    roleLimit: roleLimit as number | null,
    looseStandbys: standbys as number,
    schema: await schemaOf(session),
    isPart: (await markOf(session)) !== null,
    tables: await tablesOf(session, schema),
    slowest: await slowestOf(session),
  };
}

async function schemaOf(session: Session): Promise<number | null> {
  const [[isThere] = []] = await session.rows("SELECT to_regclass('migrations') IS NOT NULL");
  if ((isThere as unknown) !== true) return null;
  return (await session.numbers("SELECT max(number) FROM migrations"))[0] ?? null;
}

async function tablesOf(session: Session, schema: string): Promise<TableHealth[]> {
  const rows = await session.rows(
    `SELECT relname, pg_total_relation_size(relid), n_live_tup, n_dead_tup,
       (extract(epoch FROM greatest(last_vacuum, last_autovacuum)) * 1000)::double precision
     FROM pg_stat_user_tables WHERE schemaname = :schema ORDER BY 2 DESC`,
    { schema },
  );
  return (rows as unknown as [string, number, number, number, number | null][]).map(
    ([name, bytes, liveRows, deadRows, at]) => ({
      name,
      bytes,
      liveRows,
      deadRows,
      vacuumed: at === null ? null : isoTime(at),
    }),
  );
}

async function slowestOf(session: Session): Promise<SlowStatement[] | null> {
  const [[view] = []] = await session.rows(`
    SELECT quote_ident(nspname) || '.pg_stat_statements' FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
    WHERE extname = 'pg_stat_statements'`);
  if (view === undefined) return null;
  const sql = `
    SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), ${SHOWN}), calls, mean_exec_time FROM ${view as string}
    WHERE userid = (SELECT oid FROM pg_roles WHERE rolname = current_user)
      AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY mean_exec_time DESC LIMIT ${SLOWEST}`;
  try {
    const rows = (await session.rows(sql)) as unknown as [string, number, number][];
    return rows.map(([text, calls, mean]) => ({ text, calls, mean }));
  } catch {
    // Its library is not loaded.
    return null;
  }
}
