/** Changes keys, for the command line and for admins over HTTP. Those of the configuration are only read. */
import { isoTime, wallTime, wallTimeText } from "../common/clock.ts";
import { A_TIME, timeIn } from "../common/given-time.ts";
import { shown } from "../common/validation.ts";
import { SCOPES, type Config, type Scope } from "../config/config.ts";
import type { Accounts, StoredKey } from "../store/accounts.ts";
import { type AccountsContext, change, checkName, findUser, keysIn, refuse, storeIn } from "./accounts.ts";
import { nameOf } from "./anonymous.ts";
import { hashApiKey, newApiKey } from "./secrets.ts";

/** A key as admins see it. */
export interface KeyView {
  readonly name: string;
  /** By it its uses are counted (key-use.ts). It is shown to nobody. */
  readonly sha256: string;
  readonly user: string;
  /** null: all that the role may. */
  readonly scopes: readonly Scope[] | null;
  /** null: all. */
  readonly models: readonly string[] | null;
  /** null: never. */
  readonly expiresAt: string | null;
  /** When the last of those ends that it had before it was rotated; null: there is none. */
  readonly previousUntil: string | null;
  /** null: it is in the configuration. */
  readonly createdAt: string | null;
}

/** Limits of a key within what its user may do. */
export interface KeyLimits {
  readonly scopes?: readonly string[] | undefined;
  readonly models?: readonly string[] | undefined;
  /** ISO 8601 with a zone. */
  readonly expiresAt?: string | undefined;
}

/** A key that was just made: the only time that it is known. */
export interface NewKey extends KeyView {
  readonly key: string;
}

/** Seconds for which a key goes on that was rotated, where nobody says. */
export const OVERLAP = 86_400;
/** Seconds; a key that shall go on for longer was not meant to be rotated. */
const LONGEST_OVERLAP = 90 * 86_400;

/** All keys, those of the configuration first. */
export async function listKeys(context: AccountsContext): Promise<KeyView[]> {
  const { keys } = await storeIn(context).read();
  return [
    ...context.config.keys.map((key) => viewOfKey(key, null)),
    ...keys.map((key) => viewOfKey(key, key.created_at)),
  ];
}

/** @throws {AltLasError} `invalid_input`; `not_found`: there is no such user; `conflict`: a key is called so */
export async function addKey(
  context: AccountsContext,
  options: { readonly user: string; readonly name?: string | undefined } & KeyLimits,
): Promise<NewKey> {
  const { config } = context;
  const user = nameOf(options.user);
  const label = options.name === undefined ? undefined : nameOf(options.name);
  if (label !== undefined) checkName(label, "key");
  const limits = checkLimits(options);
  const refuseStranger = (accounts: Accounts): void => {
    if (findUser(config, accounts, user) === undefined) refuse("not_found", `There is no user ${user}.`);
  };
  // Before the lock is taken, which would make the folder.
  refuseStranger(await storeIn(context).read());
  const key = newApiKey();
  return change(context, (accounts) => {
    refuseStranger(accounts);
    const taken = new Set(keysIn(config, accounts).map(({ name }) => name));
    const name = label ?? freeName(user, taken);
    if (taken.has(name)) refuse("conflict", `A key named ${name} exists already.`);
    const entry: StoredKey = { name, user, sha256: hashApiKey(key), ...limits, created_at: wallTimeText() };
    return {
      accounts: { ...accounts, keys: [...accounts.keys, entry] },
      result: { ...viewOfKey(entry, entry.created_at), key },
    };
  });
}

/**
 * Makes another key under the same name and with the same limits. The one before goes on for a while, so that its users can change over.
 * @param overlap seconds after which none of those before is left; 0: they end at once
 * @throws {AltLasError} `invalid_input`; `not_found`; `conflict`: it is in the configuration
 */
export async function rotateKey(context: AccountsContext, given: string, overlap = OVERLAP): Promise<NewKey> {
  if (!(overlap >= 0 && overlap <= LONGEST_OVERLAP)) {
    const sentence = `The key before may go on for 0 s to 90 days (${LONGEST_OVERLAP} s); got ${shown(overlap)}.`;
    refuse("invalid_input", sentence);
  }
  const key = newApiKey();
  return change(context, (accounts) => {
    const known = storedKey(context.config, accounts, nameOf(given), "rotate");
    const { previous = [], expires_at: end, ...rest } = known;
    if (end !== undefined && Date.parse(end) <= wallTime()) {
      refuse("conflict", `Key ${known.name} expired at ${end}; revoke it and add another one.`);
    }
    const now = wallTime();
    const until = now + overlap * 1000;
    const old = overlap === 0 ? [] : [{ sha256: known.sha256, until: isoTime(until) }];
    // Those of earlier rotations go on no longer than the last one, however long they were to.
    const living = previous
      .map((one) => ({ ...one, until: isoTime(Math.min(Date.parse(one.until) || 0, until)) }))
      .filter((one) => overlap > 0 && Date.parse(one.until) > now);
    const entry: StoredKey = {
      ...rest,
      sha256: hashApiKey(key),
      ...(end !== undefined && { expires_at: end }),
      ...(old.length > 0 && { previous: [...living, ...old] }),
    };
    const keys = accounts.keys.map((one) => (one === known ? entry : one));
    return { accounts: { ...accounts, keys }, result: { ...viewOfKey(entry, entry.created_at), key } };
  });
}

/** Ends a key at once, with those before it. @throws {AltLasError} `not_found`; `conflict`: it is in the configuration */
export async function revokeKey(context: AccountsContext, given: string): Promise<KeyView> {
  return change(context, (accounts) => {
    const key = storedKey(context.config, accounts, nameOf(given), "revoke");
    return {
      accounts: { ...accounts, keys: accounts.keys.filter((one) => one !== key) },
      result: viewOfKey(key, key.created_at),
    };
  });
}

/** @throws {AltLasError} `invalid_input` */
function checkLimits({ scopes, models, expiresAt }: KeyLimits): Pick<StoredKey, "scopes" | "models" | "expires_at"> {
  const known = scopes?.map((scope) => {
    const one = SCOPES.find((name) => name === scope);
    return one ?? refuse("invalid_input", `A scope must be one of ${SCOPES.join(", ")}; got ${shown(scope)}.`);
  });
  if (known?.length === 0)
    refuse("invalid_input", "A key without any scope could do nothing; leave scopes out for all.");
  if (models?.length === 0)
    refuse("invalid_input", "A key without any model could ask for none; leave models out for all.");
  return {
    ...(known && { scopes: [...new Set(known)] }),
    ...(models && { models: [...new Set(models)] }),
    ...(expiresAt !== undefined && { expires_at: endOf(expiresAt) }),
  };
}

/** @throws {AltLasError} `invalid_input` */
function endOf(given: string): string {
  const time = timeIn(given);
  if (time === undefined) return refuse("invalid_input", `expires_at must be ${A_TIME}; got ${shown(given)}.`);
  if (time <= wallTime()) refuse("invalid_input", `expires_at must be later than now; got ${shown(given)}.`);
  return isoTime(time);
}

function viewOfKey(key: Omit<StoredKey, "created_at">, createdAt: string | null): KeyView {
  const { name, sha256, user, scopes = null, models = null, expires_at: expiresAt = null, previous = [] } = key;
  const living = previous.map(({ until }) => until).filter((until) => Date.parse(until) > wallTime());
  return { name, sha256, user, scopes, models, expiresAt, previousUntil: living.toSorted().at(-1) ?? null, createdAt };
}

function storedKey(config: Config["auth"], accounts: Accounts, name: string, what: "rotate" | "revoke"): StoredKey {
  const key = accounts.keys.find((one) => one.name === name);
  if (key !== undefined) return key;
  if (config.keys.some((one) => one.name === name)) {
    const how = what === "revoke" ? "remove it there" : "put another one there";
    refuse("conflict", `Key ${name} is in the configuration; ${how}.`);
  }
  return refuse("not_found", `There is no key ${name}.`);
}

function freeName(user: string, taken: ReadonlySet<string>): string {
  // Room for the number, whatever the length of the user's name.
  const stem = [...user].slice(0, 56).join("");
  for (let i = 1; ; i++) {
    if (!taken.has(`${stem}-${i}`)) return `${stem}-${i}`;
  }
}
