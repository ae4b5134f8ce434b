/* Opens both ends of a copy, each for this process alone. */
import { FolderBytes } from "../folder-bytes.ts";
import { PostgresEnd } from "../postgres/copy-end.ts";
import { databaseOf } from "../server-store.ts";
import { openSource, openTarget } from "../sqlite/copy-end.ts";
import type { CopyEnd, CopyTarget } from "./end.ts";

export interface Ends {
  readonly source: CopyEnd;
  readonly target: CopyTarget;
}

export interface CopyPlace {
  /** Of PostgreSQL. */
  readonly url: string;
  readonly schema: string;
  /** The SQLite file; undefined: in the data directory. */
  readonly path: string | undefined;
  readonly dataDir: string;
}

/**
 * @param isToPostgres else it is from there
 * @throws {AltLasError} `conflict`: a server has one of them; `bad_config`, `store_unavailable`
 */
export async function openEnds({ url, schema, dataDir, ...place }: CopyPlace, isToPostgres: boolean): Promise<Ends> {
  const path = databaseOf(place, dataDir);
  const bytes = FolderBytes.of(dataDir);
  const source = isToPostgres ? openSource(path, bytes) : await PostgresEnd.open({ url, schema, dataDir }, true);
  try {
    const target = isToPostgres ? await PostgresEnd.open({ url, schema, dataDir }, false) : openTarget(path, bytes);
    return { source, target };
  } catch (error) {
    await source.close();
    throw error;
  }
}
