/**
 * Where the servers have their tasks that tests start: in a file, or, after `usePostgres`, in a schema of PostgreSQL for each of them. So the
 * same tests run on both stores.
 */
import { createHash } from "node:crypto";
import { parse, stringify } from "yaml";
import { databaseFor, NO_POSTGRES, type PostgresServer } from "./postgres.ts";
import { type Owner } from "./server-handle.ts";

let url: string | null = null;
let started: PostgresServer | null = null;

/** Has all servers from now on use PostgreSQL, for what a whole file of tests starts. @returns why it cannot; null: it can */
export async function usePostgres(owner: Owner): Promise<string | null> {
  const database = await databaseFor(owner);
  if (database === null) return NO_POSTGRES;
  ({ url, server: started } = database);
  return null;
}

/** Whether servers have their tasks on PostgreSQL, for tests of a file of SQLite. */
export function isOnPostgres(): boolean {
  return url !== null;
}

/** The one that was started for the tests; null: there is none, or it was there before. */
export function postgresServer(): PostgresServer | null {
  return started;
}

/** @param config YAML @param folder of the server: in all of its lives it has the same tasks */
export function withStore(config: string, folder: string): string {
  if (url === null) return config;
  const { store, ...others } = (parse(config) ?? {}) as { readonly store?: object };
  const schema = `test_${createHash("sha256").update(folder).digest("hex").slice(0, 16)}`;
  return stringify({ ...others, store: { ...store, url, schema } });
}
