/** Under which epoch each server has written, as the database itself sees it when a transaction commits. */
import { Client } from "pg";
import type { PostgresServer } from "../../test/helpers/postgres.ts";

/** At the end of a transaction, when no other server may have taken over. */
const WATCH = `
  CREATE TABLE public.writers (epoch bigint, writer text, PRIMARY KEY (epoch, writer));
  CREATE FUNCTION public.note_writer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.writers SELECT number, current_setting('application_name') FROM alt_las.epoch ON CONFLICT DO NOTHING;
    RETURN NULL;
  END $$;
  CREATE CONSTRAINT TRIGGER note_writer AFTER INSERT OR UPDATE ON alt_las.tasks
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.note_writer()`;
const TWO = "SELECT epoch, count(*)::int AS writers FROM public.writers GROUP BY epoch HAVING count(*) > 1";

export async function watchWrites(postgres: PostgresServer): Promise<void> {
  await asked(postgres, WATCH);
}

/** @returns a sentence for each epoch under which a server has written whose own was over, or had not begun */
export async function epochsWithTwoWriters(postgres: PostgresServer): Promise<string[]> {
  const rows = await asked<{ epoch: string; writers: number }>(postgres, TWO);
  return rows.map(({ epoch, writers }) => `${writers} servers have written under epoch ${epoch}`);
}

/** The statement and state of each connection, and the connections that it waits for. */
export async function sessions(postgres: PostgresServer): Promise<string> {
  const shown = `SELECT pid, application_name, state, wait_event_type, wait_event, pg_blocking_pids(pid) AS blocked_by,
    left(query, 200) AS query FROM pg_stat_activity WHERE datname IS NOT NULL`;
  const rows = await asked<object>(postgres, shown);
  return rows.map((row) => JSON.stringify(row)).join("\n");
}

async function asked<Row extends object>(postgres: PostgresServer, sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: postgres.url() });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}
