/** How a new installation gets its first way in. */
import { rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { wallTimeText } from "../common/clock.ts";
import type { Config } from "../config/config.ts";
import { secretFile } from "../config/secret-files.ts";
import { AltLasError } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { Accounts } from "../store/accounts.ts";
import { type AccountsContext, storeIn } from "./accounts.ts";
import { absenceIn } from "./file.ts";
import { hashApiKey, newApiKey } from "./secrets.ts";
import { Tables } from "./tables.ts";

const ADMIN = "admin";
/** The name under which the key of the environment is kept. */
export const ENVIRONMENT_KEY = "ALT_LAS_API_KEY";
const FIRST_KEY = "first";

export interface FirstKeyOptions extends AccountsContext {
  /** The value of ALT_LAS_API_KEY; undefined or empty: not set. */
  readonly environmentKey: string | undefined;
}

/** How one gets into a server that has just started. */
export interface WayIn {
  /** The admin's key, when this start made it; it is shown nowhere else. */
  readonly firstKey: string | null;
  /** The beginning of a sentence that says that credentials.json was missing at the start; null: it was there, or never had been. */
  readonly absentCredentials: string | null;
}

/**
 * As `ensureFirstKey`, with the key of the environment; it warns when there was a file of credentials.
 * @param hadTasks whether tasks tell that somebody could call
 */
export async function wayIn(
  context: AccountsContext,
  { hadTasks, log }: { readonly hadTasks: boolean; readonly log: Logger },
): Promise<WayIn> {
  const absence = context.config.enabled ? absenceIn(context, hadTasks) : null;
  if (absence !== null) log.warn(`${absence}: only a copy brings them back.`);
  const firstKey = await ensureFirstKey({ ...context, environmentKey: givenKey() });
  return { firstKey, absentCredentials: absence };
}

/**
 * Makes sure that somebody can log in, when authentication is on.
 *
 *  1. ALT_LAS_API_KEY, when it is set, is a key of the user `admin`. Its hash is kept under the name ALT_LAS_API_KEY and replaces the
 *     one kept there before, so that changing the variable takes the old key back.
 *  2. Else, with no key and no password anywhere, `admin` gets a new random key.
 *  3. `admin` is made, with the role admin, where it does not exist.
 *
 * @returns the new key of case 2, to be shown once; else null
 * @throws {AltLasError} `bad_config`: the variable's value is no usable key, or credentials.json is damaged or cannot be written
 */
export async function ensureFirstKey({ environmentKey, ...context }: FirstKeyOptions): Promise<string | null> {
  const { config, dataDir } = context;
  if (!config.enabled) return null;
  if (environmentKey) {
    checkEnvironmentKey(environmentKey);
    await keepEnvironmentKey(context, hashApiKey(environmentKey));
    return null;
  }
  const store = storeIn(context);
  const isEnough = (accounts: Accounts): boolean => new Tables(config, accounts, dataDir).hasCredentials;
  if (isEnough(await store.read())) return null;
  return store.change((accounts) => {
    // Another server may have been faster between the look above and the lock.
    if (isEnough(accounts)) return { accounts, result: null };
    const key = newApiKey();
    return { accounts: withAdminKey(config, accounts, FIRST_KEY, hashApiKey(key)), result: key };
  });
}

/**
 * Puts a new key into a file for its owner alone, where printing it would leave it in a log.
 * @returns the file; null: it cannot be written
 */
export function keepFirstKey(dataDir: string, key: string): string | null {
  const path = join(resolve(dataDir), "first-key");
  try {
    rmSync(path, { force: true });
    writeFileSync(path, `${key}\n`, { mode: 0o600, flag: "wx" });
    return path;
  } catch {
    return null;
  }
}

async function keepEnvironmentKey(context: AccountsContext, sha256: string): Promise<void> {
  const { config } = context;
  const store = storeIn(context);
  const known = ({ keys }: Accounts) => [...config.keys, ...keys].some((key) => key.sha256 === sha256);
  // A start that changes nothing must not need the lock, nor write.
  if (known(await store.read())) return;
  await store.change((accounts) => ({
    accounts: known(accounts) ? accounts : withAdminKey(config, accounts, ENVIRONMENT_KEY, sha256),
    result: null,
  }));
}

function withAdminKey(config: Config["auth"], accounts: Accounts, name: string, sha256: string): Accounts {
  const created_at = wallTimeText();
  const exists = [...config.users, ...accounts.users].some((user) => user.name === ADMIN);
  return {
    ...accounts,
    users: exists ? accounts.users : [...accounts.users, { name: ADMIN, role: "admin", created_at }],
    keys: [...accounts.keys.filter((key) => key.name !== name), { name, user: ADMIN, sha256, created_at }],
  };
}

/**
 * The key of `admin` that the environment gives: ALT_LAS_API_KEY, else what is in the file that ALT_LAS_API_KEY_FILE names.
 * @throws {AltLasError} `bad_config`: there is no such file, or its content or the variable is no usable key
 */
export function givenKey(
  { ALT_LAS_API_KEY: key, ALT_LAS_API_KEY_FILE: path }: NodeJS.ProcessEnv = process.env,
): string | undefined {
  if (key || !path) {
    checkEnvironmentKey(key);
    return key;
  }
  const looked = secretFile(path);
  const fault = "fault" in looked ? looked.fault : looked.found ? null : `the file ${path} is not there or empty.`;
  if (fault !== null) throw new AltLasError("bad_config", `The environment variable ALT_LAS_API_KEY_FILE: ${fault}`);
  const found = (looked as { readonly found: string }).found;
  checkEnvironmentKey(found);
  return found;
}

/** @throws {AltLasError} `bad_config`: it is no usable key */
function checkEnvironmentKey(key: string | undefined): void {
  if (!key || /^[\x21-\x7e]{16,512}$/.test(key)) return;
  throw new AltLasError(
    "bad_config",
    `The environment variable ${ENVIRONMENT_KEY} must be 16 to 512 printable ASCII characters without spaces; it has ${key.length} characters.`,
  );
}
