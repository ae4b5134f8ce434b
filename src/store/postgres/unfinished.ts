/* The mark of a copy into this database that is not finished: no server may start on it. */
import { ALT_LAS } from "../../common/paste.ts";
import { badConfig } from "./failures.ts";
import type { Session } from "./session.ts";

/** A table of one row while a copy is under way. */
export const MAKE_MARK = "CREATE TABLE copying (stamp text NOT NULL)";
export const REMOVE_MARK = "DROP TABLE IF EXISTS copying";

/** The stamp of the copy's source; null: no copy is under way. */
export async function markOf(session: Session): Promise<string | null> {
  // The table comes and goes, which statements that were prepared would not survive.
  const [[isThere] = []] = await session.rows("SELECT to_regclass('copying') IS NOT NULL");
  if ((isThere as unknown) !== true) return null;
  const [[stamp] = []] = await session.rows("SELECT stamp FROM copying");
  return (stamp ?? "") as string;
}

/** @throws {AltLasError} `bad_config` */
export async function refuseUnfinished(session: Session, shown: string): Promise<void> {
  if ((await markOf(session)) === null) return;
  const sentence = `a copy into the database at ${shown} was broken off: go on with ${ALT_LAS} store copy --from sqlite --to postgres, or drop its schema`;
  throw badConfig(sentence);
}
