/* The standbys of a PostgreSQL server, and how far they are behind. */
import type { DatabaseStatus } from "../../cluster/status.ts";
import { openFailure, shownUrl } from "./failures.ts";
import { Session } from "./session.ts";

/** A role that may not see other roles' sessions reads NULL of them; the setting says then whether any commit waits. */
const READ = `
  SELECT application_name, state,
    coalesce(sync_state IN ('sync', 'quorum'), current_setting('synchronous_standby_names') <> '')
      AND current_setting('synchronous_commit') NOT IN ('off', 'local'),
    pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::double precision,
    extract(epoch FROM replay_lag)::double precision
  FROM pg_stat_replication ORDER BY 1`;

/** @throws {AltLasError} the server cannot be reached */
export async function standbysOf(url: string, schema: string): Promise<DatabaseStatus> {
  const at = shownUrl(url);
  let session: Session | undefined;
  try {
    session = await Session.open({ url, schema, name: "alt-las cluster" });
    const rows = (await session.rows(READ)) as unknown as [
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
  } finally {
    session?.close();
  }
}
