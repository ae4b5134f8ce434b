/** The PostgreSQL server that has the tasks: what a start on it would meet, and what makes it slow or unsafe. */
import { shownSize } from "../common/sizes.ts";
import { shellWord } from "../common/paste.ts";
import type { Config } from "../config/config.ts";
import { messageOf } from "../errors.ts";
import { CONNECTIONS } from "../store/postgres/failures.ts";
import { postgresHealth, type PostgresHealth, type TableHealth } from "../store/postgres/health.ts";
import type { Fact, Problem, Section } from "./section.ts";

/** Dead rows of a table, and their share, from which on it is told. */
const MANY_DEAD = 10_000;
const DEAD_SHARE = 0.3;
/** Milliseconds that a statement takes on average from which on it is told, and calls below which nobody knows. */
const SLOW = 500;
const CALLS = 10;
/** Tables that are listed. */
const MOST_LISTED = 5;

/** @param runs whether a server has its connections */
export async function postgres({ url = "", schema }: Config["store"], runs: boolean): Promise<Section> {
  try {
    const health = await postgresHealth(url, schema);
    return { facts: factsOf(health), problems: [...problemsOf(health, schema, runs)] };
  } catch (error) {
    return { facts: {}, problems: [{ problem: `${messageOf(error)}.`, mend: null }] };
  }
}

function factsOf(health: PostgresHealth): Readonly<Record<string, Fact>> {
  const { settings, tables, slowest } = health;
  return {
    at: health.at,
    version: health.version,
    schema: health.schema ?? "not made yet",
    size_bytes: tables.reduce((sum, { bytes }) => sum + bytes, 0),
    settings: [...settings].map(([name, value]) => `${name} = ${value === "" ? "''" : value}`),
    connections: `${health.connections} of ${settings.get("max_connections")}, and this role may have ${health.roleLimit ?? "any number"}`,
    tables: tables.slice(0, MOST_LISTED).map(tableWords),
    slowest_statements:
      slowest === null
        ? "not known: the extension pg_stat_statements is not there"
        : slowest.map(({ text, calls, mean }) => `${mean.toFixed(1)} ms on average of ${calls}: ${text}`),
  };
}

function tableWords({ name, bytes, liveRows, deadRows, vacuumed }: TableHealth): string {
  return `${name}: ${shownSize(bytes)}, about ${liveRows} rows and ${deadRows} dead ones, vacuumed ${vacuumed ?? "never"}`;
}

/** Settings of PostgreSQL that must not be off, and why. */
const UNSAFE: readonly (readonly [setting: string, why: string])[] = [
  ["fsync", "a crash of its machine may lose or damage all tasks"],
  ["full_page_writes", "a crash of its machine may damage tasks"],
  ["autovacuum", "the room of removed tasks is never used again"],
];

export function* problemsOf(health: PostgresHealth, schema: string, runs: boolean): Generator<Problem> {
  const { at, settings, tables, slowest } = health;
  for (const [setting, why] of UNSAFE)
    if (settings.get(setting) === "off")
      yield { problem: `PostgreSQL at ${at} runs with ${setting} = off: ${why}.`, mend: set(setting, "on") };
  if (health.isPart)
    yield {
      problem: `A copy into the schema ${schema} at ${at} was broken off; no server starts on it. Give alt-las store copy again.`,
      mend: null,
    };
  yield* connectionProblems(health, runs);
  if (health.looseStandbys > 0)
    yield {
      problem: `PostgreSQL at ${at} has standbys that no commit waits for (${health.looseStandbys}): a failover to one may lose tasks that were answered. Name one in synchronous_standby_names.`,
      mend: set("synchronous_standby_names", "'ANY 1 (*)'"),
    };
  for (const { name, liveRows, deadRows, vacuumed } of tables)
    if (deadRows > MANY_DEAD && deadRows > DEAD_SHARE * (liveRows + deadRows))
      yield {
        problem: `Of the table ${name} at ${at}, ${Math.round((100 * deadRows) / (liveRows + deadRows))} % are dead rows, and it was vacuumed ${vacuumed ?? "never"}: autovacuum is off or does not keep up.`,
        mend: `vacuumdb --dbname="$URL" --analyze --table=${shellWord(`${schema}.${name}`)}`,
      };
  for (const { text, calls, mean } of slowest ?? [])
    if (mean > SLOW && calls >= CALLS)
      yield {
        problem: `A statement of ALT_LAS takes ${Math.round(mean)} ms on average of ${calls} at ${at}: ${text}. Its disk is slow, or nobody has counted its tables.`,
        mend: `vacuumdb --dbname="$URL" --analyze-only`,
      };
}

function* connectionProblems({ at, settings, connections, roleLimit }: PostgresHealth, runs: boolean) {
  const number = (name: string): number => Number(settings.get(name) ?? 0);
  const free = number("max_connections") - number("superuser_reserved_connections") - connections;
  if (!runs && free < CONNECTIONS)
    yield {
      problem: `PostgreSQL at ${at} has ${Math.max(free, 0)} connections left, and a server of ALT_LAS needs ${CONNECTIONS}.`,
      mend: set("max_connections", String(number("max_connections") + 20)),
    };
  if (roleLimit !== null && roleLimit < CONNECTIONS)
    yield {
      problem: `The role in store.url may have ${roleLimit} connections, and a server of ALT_LAS needs ${CONNECTIONS}.`,
      mend: inPsql(`ALTER ROLE CURRENT_USER CONNECTION LIMIT ${CONNECTIONS}`),
    };
  if (number("idle_session_timeout") > 0)
    yield {
      problem: `PostgreSQL at ${at} ends connections that are idle for ${number("idle_session_timeout")} ms (idle_session_timeout): those of ALT_LAS wait for work.`,
      mend: inPsql("ALTER ROLE CURRENT_USER SET idle_session_timeout = 0"),
    };
}

/** As its superuser; most settings count from the next start on. */
function set(setting: string, value: string): string {
  return inPsql(`ALTER SYSTEM SET ${setting} = ${value}`);
}

function inPsql(sql: string): string {
  return `psql "$URL" -c ${shellWord(sql)}`;
}
