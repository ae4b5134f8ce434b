/**
 * The port of users and keys. `test/kits/accounts.ts` exercises its promises:
 *
 * 1. A change sees what all changes before it have made, of this process and of others, and is made as a whole or not at all.
 * 2. One that has thrown has made nothing. One whose outcome cannot be known says so.
 * 3. Users and keys that were changed are there after a crash and at the next start, in the order in which they were added, to the last
 *    character.
 * 4. `look` has a change of this process when the change has resolved, in the next turn of the event loop at the latest, and one of another
 *    process two seconds later at most.
 * 5. When what holds cannot be known any more, `look` has nobody, and `trouble` says why.
 * 6. Of each key the latest of the times is kept at which it was used; those of keys that are gone are not.
 */
import type { Role, Scope } from "../config/config.ts";

/** A user that is not one of the configuration. */
export interface StoredUser {
  /** In NFC. */
  readonly name: string;
  readonly role: Role;
  readonly team?: string;
  readonly password_hash?: string;
  /** ISO 8601, as all times here. */
  readonly created_at: string;
}

export interface StoredKey {
  readonly name: string;
  readonly user: string;
  /** Of the key, in hexadecimal. */
  readonly sha256: string;
  /** Absent: all that the role may. */
  readonly scopes?: readonly Scope[];
  /** Absent: all. */
  readonly models?: readonly string[];
  readonly expires_at?: string;
  /** Those before it was rotated, which go on for a while. */
  readonly previous?: readonly { readonly sha256: string; readonly until: string }[];
  readonly created_at: string;
}

/** Data of removed users may still be stored under their names. */
export interface RemovedUser {
  readonly name: string;
  readonly at: string;
}

export interface Accounts {
  readonly users: readonly StoredUser[];
  readonly keys: readonly StoredKey[];
  readonly removed?: readonly RemovedUser[];
}

export const NOBODY: Accounts = { users: [], keys: [] };

/** Returns what there shall be. It may be called more than once, and has no other effect. */
export type Change<T> = (accounts: Accounts) => { readonly accounts: Accounts; readonly result: T };

/** When keys were used last, by their SHA-256. */
export type KeyUses = ReadonlyMap<string, string>;

/** All refuse with {AltLasError}: `bad_config`, what is there is damaged or cannot be used; `store_unavailable`, it cannot be reached now. */
export interface AccountStore {
  /** As they are now. */
  read(): Promise<Accounts>;
  /** @returns what `change` returned beside them @throws {AltLasError} also `conflict`: another process changes them for too long; what `change` throws */
  change<T>(change: Change<T>): Promise<T>;
  uses(): Promise<KeyUses>;
  /** @param known whether a key of that hash is in force, as far as this server knows */
  addUses(uses: KeyUses, known: (sha256: string) => boolean): Promise<void>;
}

/** Why what holds may not be what is there, as the beginning of a sentence. */
export interface AccountsTrouble {
  readonly what: string;
  /** The users and keys that were known before still hold; else nobody is known. */
  readonly isKnown: boolean;
  /** Somebody who is not known may be one all the same; else what is not known is not there. */
  readonly isInDoubt: boolean;
}

/** The users and keys that a server knows without asking. */
export interface AccountsView {
  /** Those that were known last; the same object until something has changed. */
  readonly current: Accounts;
  /** Those that hold now. It is asked for each request, and waits for no other process. */
  look(): Accounts;
  /** null: nothing is wrong. */
  readonly trouble: AccountsTrouble | null;
  /** Looks also while nobody asks. @param changed is called when `look` may be another one @returns what ends it */
  watch(changed: () => void): () => void;
}

/** Names and hashes of keys in force, with those before a rotation. */
export function hashesOf({ keys }: Accounts): Set<string> {
  return new Set(keys.flatMap(({ sha256, previous = [] }) => [sha256, ...previous.map((one) => one.sha256)]));
}

/** Of those with the same name, which only a file that was edited has, the first one counts. */
export function withoutDoubles({ users, keys, removed = [] }: Accounts): Accounts {
  const gone = firstOf(removed);
  return { users: firstOf(users), keys: firstOf(keys), ...(gone.length > 0 && { removed: gone }) };
}

function firstOf<T extends { readonly name: string }>(things: readonly T[]): T[] {
  const names = new Set<string>();
  return things.filter(({ name }) => !names.has(name) && names.add(name));
}
