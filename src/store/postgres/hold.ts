/* Takes a database for this process alone: nothing of it is read or written before. */
import type { News, Place } from "../thread/messages.ts";
import { openFailure, shownUrl } from "./failures.ts";
import { keepLease, newHolder, putBackLease, sessionName, type Taken, takeLease } from "./lease.ts";
import { Link } from "./link.ts";
import { checkServer, migrate, missingIn } from "./schema.ts";
import { Session } from "./session.ts";
import { Writer } from "./writer.ts";

export type PostgresPlace = Extract<Place, { readonly url: string }>;

/** Milliseconds in which a database is taken whose schema is the present one: a machine that is gone says nothing by itself. */
export const PATIENCE = 60_000;

export interface Held {
  /** The connection of the lease. */
  readonly session: Session;
  readonly link: Link;
  readonly writer: Writer;
  /** Milliseconds for which no server has run; null: none ever has. */
  readonly idle: number | null;
}

/**
 * Checks the server, takes the lease, and brings the database to the present schema.
 * @param look may refuse it, before anything is written, and again when nobody else writes
 * @throws {AltLasError} `conflict`: another server has it; `bad_config`, `store_unavailable`
 */
export async function hold(
  { url, schema, about }: PostgresPlace,
  send: (news: News) => void,
  look: (session: Session, shown: string) => Promise<void>,
): Promise<Held> {
  const shown = shownUrl(url);
  const holder = about.member?.id ?? newHolder();
  const place = { url, schema, name: sessionName(holder) };
  const limit = new Limit();
  let opened: Session | undefined;
  let early: Taken | null = null;
  try {
    const session = await Session.open(place, limit.over);
    opened = session;
    limit.over.addEventListener("abort", () => session.destroy());
    await checkServer(session, place, shown, limit.over);
    await look(session, shown);
    const missing = await missingIn(session, schema, shown);
    // Then it takes as long as it takes.
    if (missing !== 0) limit.end();
    // No server of before wakes, or begins to lead, on a schema that changes.
    const take = () => takeLease(session, holder, about, shown);
    if (missing !== null && missing > 0) early = await take();
    const keep = early === null ? undefined : () => keepLease(session, holder, shown);
    if (missing !== 0) await migrate(session, { schema, shown, keep }, tellOf(shown, send));
    await keep?.();
    const { epoch, idle } = early ?? (await take());
    await look(session, shown);
    const link = new Link(place, holder, session, send);
    return { session, link, writer: new Writer(link, epoch), idle };
  } catch (error) {
    if (early !== null) await putBackLease(opened!, holder, early.before);
    opened?.destroy();
    throw openFailure(limit.over.aborted ? limit.over.reason : error, shown);
  } finally {
    limit.end();
  }
}

function tellOf(shown: string, send: (news: News) => void): Parameters<typeof migrate>[2] {
  return (step, last, migration) => {
    const message = `the task database gets step ${step} of ${last} of its schema`;
    send({ kind: "line", level: "info", fields: { database: shown, migration }, message });
  };
}

/** Ends the connections on which a step takes too long. */
class Limit {
  readonly #over = new AbortController();
  readonly over = this.#over.signal;
  readonly #late = setTimeout(() => {
    this.#over.abort(new Error(`it has not answered for ${PATIENCE / 1000} seconds`));
  }, PATIENCE);

  end(): void {
    clearTimeout(this.#late);
  }
}
