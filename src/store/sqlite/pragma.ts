import type { DatabaseSync } from "node:sqlite";

/** The first value that a pragma tells. */
export function pragma(db: DatabaseSync, text: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${text}`).get() ?? {})[0];
}
