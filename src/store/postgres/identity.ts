/* The name that tells one database of ours from another. */
import { createHash } from "node:crypto";
import { alone } from "./alone.ts";
import { openFailure, shownUrl } from "./failures.ts";

const FIRST =
  "SELECT to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24.MI.SS.US') FROM migrations WHERE number = 1";

/**
 * A name for what is stored in a schema. It goes along with a dump, a replica and a failover, as it is made of the moment at which the schema
 * was.
 * @throws {AltLasError} the server cannot be reached
 */
export async function identityOf(url: string, schema: string): Promise<string> {
  try {
    const place = { url, schema, name: "alt-las identity" };
    const [[made] = []] = await alone(place, (session) => session.rows(FIRST));
    return createHash("sha256")
      .update(`${schema} ${made as string}`)
      .digest("hex")
      .slice(0, 32);
  } catch (error) {
    throw openFailure(error, shownUrl(url));
  }
}
