/** The store of a server: the one that its configuration names. */
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { FileBytes } from "./file-bytes.ts";
import { SqliteStore } from "./sqlite/sqlite.ts";
import type { ThreadStore, ThreadStoreLog } from "./thread/thread-store.ts";

/** One that can be copied into a file, or says how else. It may have the bytes of files, too. */
export type ServerStore = ThreadStore & Pick<SqliteStore, "copy"> & { readonly bytes?: FileBytes };

type Place = Pick<Config["store"], "path" | "cache_bytes" | "url" | "schema">;

/** Where the SQLite file is, or would be. */
export function databaseOf({ path }: Pick<Place, "path">, dataDir: string): string {
  return path ?? join(dataDir, "alt-las.db");
}

/**
 * For what only reads: opening a store begins a database where there is none, and puts a damaged one away.
 * @returns rejects with an AltLasError: `bad_config`: there is none; `conflict`: a server has it; an error that is damage
 */
export async function checkThere(place: Place, dataDir: string): Promise<void> {
  if (place.url !== undefined) return;
  const { openOffline } = await import("./sqlite/offline.ts");
  openOffline(databaseOf(place, dataDir)).close();
}

/** It is not open yet. */
export async function storeOf(place: Place, dataDir: string, log: ThreadStoreLog): Promise<ServerStore> {
  const { url, schema, cache_bytes: cacheBytes } = place;
  if (url === undefined) return new SqliteStore({ path: databaseOf(place, dataDir), cacheBytes, log });
  const { PostgresStore } = await import("./postgres/postgres.ts");
  return new PostgresStore({ url, schema, dataDir, log });
}
