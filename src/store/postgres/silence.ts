/*
 * Connections that have died without a word: a firewall has forgotten them, or a proxy keeps what comes. The lease's own has a time limit.
 * The others have none, because a statement may take long; so PostgreSQL is asked whether it still works for them.
 */
import { arrayOf } from "./arrays.ts";
import type { Session } from "./session.ts";

/** Looks, one a second, in which nothing has come to somebody who waits. */
const LOOKS = 5;
/** A backend that waits for its client has sent all that it had, or cannot get rid of it. */
const WORKING = `
  SELECT pid::bigint FROM pg_stat_activity
  WHERE pid = ANY(:backends::bigint[]) AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'`;

export class Silence {
  /** Bytes that had come on each session that waits, and the looks since. */
  readonly #waiting = new Map<Session, { readonly heard: number; readonly looks: number }>();

  /** Looks once, and ends those that PostgreSQL has forgotten: what is under way on them fails, and may be tried again. */
  async end(asked: Session, sessions: Iterable<Session>): Promise<void> {
    const silent: Session[] = [];
    const before = new Map(this.#waiting);
    this.#waiting.clear();
    for (const session of sessions) {
      const { heard } = session;
      if (heard === null || session.broken !== null) continue;
      const last = before.get(session);
      const looks = last?.heard === heard ? last.looks + 1 : 0;
      this.#waiting.set(session, { heard, looks });
      if (looks >= LOOKS) silent.push(session);
    }
    if (silent.length === 0) return;
    const working = await asked.numbers(WORKING, { backends: arrayOf(silent.map(({ backend }) => backend)) });
    for (const session of silent) if (!working.includes(session.backend)) session.destroy();
  }
}
