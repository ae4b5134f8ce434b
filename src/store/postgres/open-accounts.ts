/* Opens the users and keys of a database. Those of an earlier place are taken over once. */
import { AltLasError } from "../../errors.ts";
import { type Accounts, type KeyUses, withoutDoubles } from "../accounts.ts";
import { PostgresAccounts } from "./accounts.ts";
import { alone } from "./alone.ts";
import { openFailure, shownUrl } from "./failures.ts";
import { checkServer, migrate, missingIn } from "./schema.ts";
import { Session, type SessionPlace } from "./session.ts";
import { refuseUnfinished } from "./unfinished.ts";

/** The users and keys of an earlier place, which are taken over where nobody has ever been added. */
export interface Earlier {
  /** null: there is nothing. @throws {AltLasError} `bad_config`: it is damaged */
  readonly accounts: () => Accounts | null;
  /** Of keys that are in force with these. */
  readonly uses: (accounts: Accounts) => KeyUses;
  /** Called with what was taken over. */
  readonly taken: (accounts: Accounts) => void;
}

export interface OpenAccountsOptions {
  readonly url: string;
  readonly schema: string;
  /** undefined: only what is there may be read and changed, and nothing is made. */
  readonly earlier?: Earlier | undefined;
  /** A copy of a store writes them, before any server may. */
  readonly isCopy?: boolean;
  /** Milliseconds of a clock that only goes forward; for tests. */
  readonly now?: () => number;
}

/** @throws {AltLasError} `bad_config`, `store_unavailable`: also where the database says nothing for 10 seconds */
export async function openAccounts(options: OpenAccountsOptions): Promise<PostgresAccounts> {
  const { url, schema, earlier } = options;
  const shown = shownUrl(url);
  const place = { url, schema, name: "alt-las accounts" };
  try {
    const isPresent = await alone(place, async (session, ending) => {
      await checkServer(session, place, shown, ending);
      if (options.isCopy !== true) await refuseUnfinished(session, shown);
      const missing = earlier === undefined ? 0 : await missingIn(session, schema, shown);
      // The next server that leads changes the schema of one that may lead now.
      const isLed = missing !== null && missing > 0 && (await session.rows("SELECT 1 FROM lease")).length > 0;
      if (earlier === undefined || isLed) await refuseNone(session, `the schema ${schema} of ${shown}`, isLed);
      return missing === 0 || isLed;
    });
    if (!isPresent) await makePresent(place, shown);
    const accounts = new PostgresAccounts(place, options.now);
    if (earlier !== undefined) await takeOver(accounts, earlier);
    return accounts;
  } catch (error) {
    throw openFailure(error, shown);
  }
}

/** Has no time limit: a step may take long, or wait for that of another server. */
async function makePresent(place: SessionPlace, shown: string): Promise<void> {
  const session = await Session.open(place);
  try {
    await migrate(session, { schema: place.schema, shown }, () => undefined);
  } finally {
    session.close();
  }
}

/** In one transaction: a start that is cut off has taken over all or nothing, and the next one does not do it again. */
async function takeOver(accounts: PostgresAccounts, { accounts: earlier, uses, taken }: Earlier): Promise<void> {
  const found = earlier();
  if (found === null) return;
  const first = withoutDoubles(found);
  const isTaken = await accounts.changeLocked((there, version) => {
    const isNew = version === 0;
    return { accounts: isNew ? first : there, result: isNew };
  });
  if (!isTaken) return;
  await accounts.addUses(uses(first), () => true);
  taken(first);
}

/** @throws {AltLasError} `bad_config` */
async function refuseNone(session: Session, shown: string, isLed: boolean): Promise<void> {
  const [[isThere] = []] = await session.rows("SELECT to_regclass('accounts_version') IS NOT NULL");
  if ((isThere as unknown) === true) return;
  const sentence = isLed
    ? `There are no users and keys in ${shown} yet, which an earlier version of ALT_LAS has made: start the server of this version first, which makes their tables.`
    : `There are no users and keys in ${shown} yet: the first start of the server makes their tables, and so does adding a user.`;
  throw new AltLasError("bad_config", sentence);
}
