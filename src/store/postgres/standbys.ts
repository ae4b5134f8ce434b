/* The standbys of a PostgreSQL server, and how far they are behind. */
import type { DatabaseStatus } from "../../cluster/status.ts";
import { alone } from "./alone.ts";
import { openFailure, shownUrl } from "./failures.ts";

/**
 * Whether commits wait for a standby of `pg_stat_replication`. A role that may not see other roles' sessions reads NULL of them; the setting says
 * then whether any commit waits.
 */
const IS_WAITED_FOR = `
  (coalesce(sync_state IN ('sync', 'quorum'), current_setting('synchronous_standby_names') <> '')
    AND current_setting('synchronous_commit') NOT IN ('off', 'local'))`;
/** How many standbys no commit waits for: a failover to one that lags behind loses what was acknowledged. */
export const LOOSE_STANDBYS = `SELECT count(*) FROM pg_stat_replication WHERE NOT ${IS_WAITED_FOR}`;

const READ = `
  SELECT application_name, state, ${IS_WAITED_FOR},
    pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::double precision,
    extract(epoch FROM replay_lag)::double precision
  FROM pg_stat_replication ORDER BY 1`;

/** Milliseconds that a look may take: somebody waits for a page on which all else is there. */
const PATIENCE = 5000;

/** @throws {AltLasError} the server cannot be reached, or does not answer in time */
export async function standbysOf(url: string, schema: string): Promise<DatabaseStatus> {
  const at = shownUrl(url);
  try {
    const place = { url, schema, name: "alt-las cluster" };
    const rows = (await alone(place, (session) => session.rows(READ), PATIENCE)) as unknown as [
      string | null,
      string | null,
      boolean,
      number | null,
      number | null,
    ][];
    const standbys = rows.map(([name, state, isSynchronous, lagBytes, lagSeconds]) => {
      return { name, state, isSynchronous, lagBytes, lagSeconds };
    });
    return { at, standbys };
  } catch (error) {
    throw openFailure(error, at);
  }
}
