/** `alt-las store copy`. */
import { credentialsPath, FileAccounts } from "../auth/file.ts";
import type { Config } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { type Copied, copyStore } from "../store/copying/copy.ts";
import type { AccountEnds } from "../store/copying/copy-accounts.ts";
import { openEnds } from "../store/copying/ends.ts";
import { openAccounts } from "../store/postgres/open-accounts.ts";
import type { DatabaseKind } from "./store.ts";

type Place = Pick<Config["store"], "url" | "schema"> & {
  /** The SQLite file; undefined: in the data directory. */
  readonly path: string | undefined;
  readonly dataDir: string;
};

/** Milliseconds between two lines of progress. */
const PACE = 1000;

/**
 * @param tell is told how far it is
 * @returns what was copied
 * @throws {AltLasError} `bad_config`, `conflict`: a server has one of the two, or the target has other data; `store_unavailable`: it was broken off
 */
export async function storeCopy(
  place: Place,
  { from, to }: { readonly from: DatabaseKind; readonly to: DatabaseKind },
  tell: (text: string) => void,
): Promise<string> {
  const { url } = place;
  if (from === to) refuse(`--from and --to are both ${from}; one has to be sqlite, and the other postgres.`);
  if (url === undefined) refuse("store.url is not set: name the PostgreSQL database there (docs/postgres.md).");
  const isToPostgres = to === "postgres";
  const { source, target } = await openEnds({ ...place, url }, isToPostgres);
  try {
    const accounts = await accountEnds({ ...place, url }, isToPostgres, target.shown);
    const { copied, lost, wasThere } = await whole(() => copyStore(source, target, accounts, paced(tell)));
    const what = `${wasThere ? "It was copied already" : "Copied"}, and each row and each file of both is the same: ${words(copied)}.`;
    const named = place.path === undefined ? "" : " and name that file in store.path";
    const next =
      to === "sqlite" ? `take store.url out of the configuration${named}` : "start the server with this configuration";
    const gone =
      lost.length === 0 ? "" : `\nThe bytes of ${lost.length} files were lost before: ${lost.slice(0, 10).join(", ")}.`;
    return `${what}${gone}\nFrom ${source.shown}, which stays as it is, to ${target.shown}. To use that, ${next}.`;
  } finally {
    await target.close();
    await source.close();
  }
}

/** @param shown the target */
async function accountEnds(
  { url, schema, dataDir }: Place & { readonly url: string },
  isToPostgres: boolean,
  shown: string,
): Promise<AccountEnds> {
  const onPostgres = await openAccounts({ url, schema, isCopy: true });
  const inFile = new FileAccounts(dataDir);
  if (isToPostgres) return { from: inFile, to: onPostgres, shown, isPart: true };
  return { from: onPostgres, to: inFile, shown: credentialsPath(dataDir), isPart: false };
}

/** @throws {AltLasError} also for what databases and the system throw */
async function whole<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AltLasError && error.code !== "store_unavailable") throw error;
    const sentence = `The copy was broken off: ${messageOf(error)}. Give the command again: it goes on where it was.`;
    throw new AltLasError("store_unavailable", sentence, { cause: error });
  }
}

function words(copied: Copied): string {
  const all = [...copied]
    .filter(([name, rows]) => rows > 0 && name !== "clock")
    .map(([name, rows]) => `${name.replaceAll("_", " ")} ${rows}`);
  return all.length === 0 ? "no rows" : all.join(", ");
}

function paced(tell: (text: string) => void): (so: string) => void {
  let told = performance.now();
  return (so) => {
    if (performance.now() - told < PACE) return;
    told = performance.now();
    tell(so);
  };
}

function refuse(sentence: string): never {
  throw new AltLasError("bad_config", sentence);
}
