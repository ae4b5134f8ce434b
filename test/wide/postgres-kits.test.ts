/* The store on PostgreSQL does what every store promises. */
import { after, test } from "node:test";
import { databaseFor, NO_POSTGRES, placeIn } from "../helpers/postgres.ts";
import { KITS } from "../kits/every.ts";

const database = await databaseFor({ after });
if (database === null) test("the kits of stores", { skip: NO_POSTGRES });
else for (const exercise of KITS) exercise("PostgresStore", placeIn(database.url));
