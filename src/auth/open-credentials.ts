/** Opens the credentials of a server, with users and keys in the place that its configuration names. */
import type { Audit } from "../audit/audit-log.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../log/log.ts";
import { tellOperators } from "../topics.ts";
import { Credentials } from "./credentials.ts";
import { fileBefore } from "./open-accounts.ts";

interface Options {
  readonly config: Config;
  readonly dataDir: string;
  readonly log: Logger;
  /** Is told who signs in, and what is refused; absent: nobody is. */
  readonly audit?: Audit;
  /** It does not lead: what is there is all that it may have. */
  readonly standsBy?: boolean;
}

/**
 * The credentials of a server. A file is read at once; a database when what is returned is called, which is after this server has got it.
 * @throws {AltLasError} `bad_config`, `store_unavailable`; what is returned, too
 */
export function credentialsOf({ config, dataDir, log, audit, standsBy }: Options): () => Promise<Credentials> {
  const { url, schema } = config.store;
  const common = { config: config.auth, dataDir, log, ...(audit && { audit }) };
  if (url === undefined) {
    const credentials = new Credentials(common);
    return () => Promise.resolve(credentials);
  }
  return async () => {
    const { openAccounts } = await import("../store/postgres/open-accounts.ts");
    const earlier = standsBy === true ? undefined : fileBefore({ config, dataDir }, (line) => log.info(line));
    const accounts = await openAccounts({ url, schema, earlier });
    await accounts.follow((reason) => tell(reason, log));
    return new Credentials({ ...common, accounts, close: () => accounts.close() });
  };
}

/** Opens the store between both steps of `credentialsOf`. @param started closes them @returns what `open` returned, with them */
export async function withCredentials<T extends object>(
  options: Options,
  started: AsyncDisposableStack,
  open: () => Promise<T>,
): Promise<T & { readonly credentials: Credentials }> {
  const openCredentials = credentialsOf(options);
  const opened = await open();
  const credentials = started.adopt(await openCredentials(), (one) => one.close());
  return { ...opened, credentials };
}

function tell(reason: string | null, log: Logger): void {
  const what = "The database of users and keys";
  const sentence =
    reason === null ? `${what} answers again.` : `${what} does not answer: those known before hold for a minute.`;
  log.warn(reason === null ? {} : { reason }, sentence);
  tellOperators({ kind: "auth", event: reason === null ? "answers" : "hangs", sentence });
}
