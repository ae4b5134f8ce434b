/** Opens the place of users and keys that a configuration names, for commands: the file in the data directory, or PostgreSQL, where the tasks are. */
import { existsSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { hashesOf } from "../store/accounts.ts";
import type { Earlier } from "../store/postgres/open-accounts.ts";
import type { AccountsContext } from "./accounts.ts";
import { credentialsPath, readCredentials } from "./file.ts";
import { readKeyUse } from "./key-use-file.ts";

interface Place {
  readonly config: Pick<Config, "auth" | "store">;
  readonly dataDir: string;
  /** As `--config` named it. */
  readonly configFile?: string | undefined;
}

/**
 * Runs a command on users and keys.
 * @param begins it may be the first that adds any
 * @param tell is told a sentence where others were taken over
 */
export async function withAccounts<T>(
  { config, dataDir, configFile }: Place,
  { begins, tell: told }: { readonly begins: boolean; readonly tell: (sentence: string) => void },
  work: (context: AccountsContext) => Promise<T>,
): Promise<T> {
  const { url, schema } = config.store;
  if (url === undefined) return work({ config: config.auth, dataDir, configFile });
  const { openAccounts } = await import("../store/postgres/open-accounts.ts");
  const earlier = begins ? fileBefore({ config, dataDir }, told) : undefined;
  const accounts = await openAccounts({ url, schema, earlier });
  try {
    return await work({ config: config.auth, dataDir, configFile, accounts });
  } finally {
    accounts.close();
  }
}

/** The accounts that were in the data directory before the tasks, and with them the users, came to PostgreSQL. */
export function fileBefore({ config, dataDir }: Place, tell: (sentence: string) => void): Earlier {
  const path = credentialsPath(dataDir);
  return {
    accounts: () => (existsSync(path) ? readCredentials(dataDir) : null),
    uses: (accounts) => {
      const known = hashesOf(accounts);
      for (const { sha256 } of config.auth.keys) known.add(sha256);
      return new Map([...readKeyUse(dataDir)].filter(([sha256]) => known.has(sha256)));
    },
    taken: ({ users, keys }) =>
      tell(
        `${users.length} users and ${keys.length} keys of ${path} are on PostgreSQL now; the file stays, and is not read any more.`,
      ),
  };
}
