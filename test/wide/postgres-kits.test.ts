/* The store on PostgreSQL does what every store promises. */
import { after, test } from "node:test";
import { NO_POSTGRES, placeIn, PostgresServer, PROGRAMS } from "../helpers/postgres.ts";
import { KITS } from "../kits/every.ts";

const named = process.env["ALT_LAS_TEST_POSTGRES"];
if (named === undefined && PROGRAMS === null) test("the kits of stores", { skip: NO_POSTGRES });
else {
  const server = named === undefined ? await PostgresServer.start([], "trust") : null;
  after(() => server?.remove());
  for (const exercise of KITS) exercise("PostgresStore", placeIn(named ?? server!.url()));
}
