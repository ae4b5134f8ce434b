/** The users and keys in force: those of the configuration, and those of the data directory where they don't collide. */
import { hash, timingSafeEqual } from "node:crypto";
import { wallTime } from "../common/clock.ts";
import type { Config, Role, Scope } from "../config/config.ts";
import type { Accounts, StoredKey } from "../store/accounts.ts";
import { nameOf, warningOfAnonymous } from "./anonymous.ts";
import { checkPasswordHash } from "./secrets.ts";

/** The sender of a request. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
  /** null: it is in none. */
  readonly team: string | null;
  /** The name of the API key that it came with; null: it came with a password, or authentication is off. */
  readonly keyName: string | null;
  /** The scopes that its key is held to; null: all that the role may. */
  readonly scopes: ReadonlySet<Scope> | null;
  /** The models that its tasks may ask for, by names or aliases; null: all. */
  readonly models: readonly string[] | null;
  /** When its key ends, in Unix milliseconds; null: never. */
  readonly expiresAt: number | null;
  /** The proof by the issuer of auth.oidc that it came with; absent: none. */
  readonly by?: "token" | "session";
}

/** The fields of callers that have no team, and whose key is held to nothing. */
export const UNBOUND = { team: null, keyName: null, scopes: null, models: null, expiresAt: null } as const;

interface User {
  readonly caller: Caller;
  readonly passwordHash: string | undefined;
}

interface Key {
  readonly digest: Buffer;
  readonly owner: Caller;
}

/** How each caller has proven itself. */
type Proof = { readonly digest: Buffer } | { readonly digest: null; readonly passwordHash: string | undefined };

const PROOFS = new WeakMap<Caller, Proof>();

export class Tables {
  readonly users: ReadonlyMap<string, User>;
  /** Names of users that were removed, with the times. */
  readonly removed: ReadonlyMap<string, string>;
  /** Entries that are ignored, and why; for the operator. */
  readonly warnings: readonly string[];
  /** By digest; `latin1` is the cheapest way to make a Map's key of it. */
  readonly #keys: ReadonlyMap<string, Key>;

  /**
   * @param dataDir where users would be added
   * @throws {AltLasError} `bad_config`: a password hash of the configuration cannot be used
   */
  constructor(config: Config["auth"], accounts: Accounts, dataDir: string) {
    const warnings: string[] = [];
    for (const { name, password_hash } of config.users) {
      if (password_hash !== undefined) checkPasswordHash(password_hash, `auth.users: the password_hash of ${name}`);
    }
    this.users = mergeUsers(config, accounts, warnings);
    const gone = (accounts.removed ?? []).filter(({ name }) => !this.users.has(name));
    this.removed = new Map(gone.map(({ name, at }) => [name, at]));
    this.#keys = mergeKeys(config, accounts, this.users, warnings);
    const anonymous = this.users.get(nameOf(config.anonymous_user ?? ""));
    const warning = warningOfAnonymous(config, anonymous?.caller.role, dataDir);
    if (warning !== null) warnings.push(warning);
    this.warnings = warnings;
  }

  /** The user a key belongs to. */
  ownerOf(digest: Buffer): Caller | undefined {
    const key = this.#keys.get(digest.toString("latin1"));
    if (key === undefined || !timingSafeEqual(key.digest, digest)) return undefined;
    return key.owner;
  }

  /** The caller that would prove itself in that way now; null: there is none. @param proof as `proofOf` says it */
  callerBy(name: string, proof: string): Caller | null {
    const [kind, sha256 = ""] = proof.split(" ");
    const caller = kind === "key" ? this.ownerOf(Buffer.from(sha256, "hex")) : this.users.get(name)?.caller;
    return caller !== undefined && caller.name === name && proofOf(caller) === proof ? caller : null;
  }

  /** Whether a key of that hash is in force, or was before a rotation. @param sha256 in hexadecimal */
  hasKey(sha256: string): boolean {
    return this.#keys.has(Buffer.from(sha256, "hex").toString("latin1"));
  }

  /** Whether a caller that these or earlier tables have named could prove itself in the same way now, and would be the same. */
  holds(caller: Caller): boolean {
    const proof = PROOFS.get(caller);
    if (proof === undefined) return false;
    const user = this.users.get(caller.name);
    const now = proof.digest === null ? user?.caller : this.ownerOf(proof.digest);
    const isSameProof = proof.digest !== null || user?.passwordHash === proof.passwordHash;
    // The end is the one that its key has now: a rotation may have given it one.
    return now !== undefined && isSameProof && mayTheSame(now, caller) && !hasExpired(now);
  }

  /** Whether anybody could log in. */
  get hasCredentials(): boolean {
    return this.#keys.size > 0 || this.users.values().some((user) => user.passwordHash !== undefined);
  }
}

/** How a caller has proven itself, as text that lets nobody in: a hash of its key, or of what is stored of its password. */
export function proofOf(caller: Caller): string | null {
  const proof = PROOFS.get(caller);
  if (proof === undefined) return null;
  return proof.digest === null ? `password ${hash("sha256", proof.passwordHash ?? "")}` : `key ${keyHashOf(caller)}`;
}

/** The SHA-256 of the key that a caller came with, in hexadecimal; null: it came with none. */
export function keyHashOf(caller: Caller): string | null {
  return PROOFS.get(caller)?.digest?.toString("hex") ?? null;
}

function proven(caller: Caller, proof: Proof): Caller {
  PROOFS.set(Object.freeze(caller), proof);
  return caller;
}

function mergeUsers(config: Config["auth"], accounts: Accounts, warnings: string[]): Map<string, User> {
  const users = new Map<string, User>();
  for (const { name: written, role, team: inTeam, password_hash } of [...config.users, ...accounts.users]) {
    const name = nameOf(written);
    const team = inTeam === undefined ? null : nameOf(inTeam);
    if (users.has(name)) warnings.push(`User ${name} is in the configuration too, which wins over the data directory.`);
    else
      users.set(name, {
        caller: proven({ ...UNBOUND, name, role, team }, { digest: null, passwordHash: password_hash }),
        passwordHash: password_hash,
      });
  }
  return users;
}

function mergeKeys(
  config: Config["auth"],
  accounts: Accounts,
  users: ReadonlyMap<string, User>,
  warnings: string[],
): Map<string, Key> {
  const keys = new Map<string, Key>();
  const names = new Set<string>();
  const former: (Caller & { readonly before: string })[] = [];
  for (const key of [...config.keys, ...accounts.keys]) {
    const { name, user: owner, sha256, ...limits } = key;
    const user = nameOf(owner);
    const digest = Buffer.from(sha256, "hex");
    const id = digest.toString("latin1");
    const known = users.get(user);
    if (known === undefined) warnings.push(`Key ${name} is refused: its user ${user} does not exist.`);
    else if (names.has(name))
      warnings.push(`Key ${name} exists twice; the first one counts, the configuration's before all.`);
    else if (keys.has(id)) warnings.push(`Key ${name} is the same key as another one, which counts.`);
    else {
      const bounds = boundsOf(limits);
      keys.set(id, { digest, owner: proven({ ...known.caller, keyName: name, ...bounds }, { digest }) });
      names.add(name);
      for (const { until, sha256: before } of previousOf(key))
        former.push({ ...known.caller, keyName: name, ...bounds, before, expiresAt: earlier(until, bounds.expiresAt) });
    }
  }
  // Last, so that none of them stands for a key that is in force as another one.
  for (const { before, ...caller } of former) {
    const digest = Buffer.from(before, "hex");
    const id = digest.toString("latin1");
    if (!keys.has(id)) keys.set(id, { digest, owner: proven(caller, { digest }) });
  }
  return keys;
}

type KeyLimits = Pick<StoredKey, "expires_at" | "scopes" | "models">;

function boundsOf({ expires_at: end, scopes, models }: KeyLimits): Pick<Caller, "scopes" | "models" | "expiresAt"> {
  return {
    scopes: scopes === undefined ? null : new Set(scopes),
    models: models ?? null,
    expiresAt: end === undefined ? null : endAt(end),
  };
}

type AnyKey = Omit<StoredKey, "created_at">;

/** Those before a key was rotated. */
function previousOf({ previous = [] }: AnyKey): NonNullable<AnyKey["previous"]> {
  return previous;
}

/** In Unix milliseconds. A day that does not exist must not make a key that never ends. */
function endAt(end: string): number {
  return Date.parse(end) || 0;
}

function earlier(end: string, other: number | null): number {
  return Math.min(endAt(end), other ?? Infinity);
}

function mayTheSame(one: Caller, other: Caller): boolean {
  return (
    one.name === other.name &&
    one.role === other.role &&
    one.team === other.team &&
    one.keyName === other.keyName &&
    isSameList(one.models, other.models) &&
    isSameList(one.scopes && [...one.scopes], other.scopes && [...other.scopes])
  );
}

function isSameList(one: readonly string[] | null, other: readonly string[] | null): boolean {
  return JSON.stringify(one?.toSorted()) === JSON.stringify(other?.toSorted());
}

/** Whether the key that a caller came with has ended by now. */
export function hasExpired({ expiresAt }: Caller): boolean {
  return expiresAt !== null && wallTime() >= expiresAt;
}
