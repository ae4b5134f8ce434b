/** Users and keys of a copy. They are in a file beside SQLite, and in tables of PostgreSQL alone. */
import { isDeepStrictEqual } from "node:util";
import { AltLasError } from "../../errors.ts";
import { type Accounts, type AccountStore, hashesOf, withoutDoubles } from "../accounts.ts";

export interface AccountEnds {
  readonly from: AccountStore;
  readonly to: AccountStore;
  /** In words: where they go. */
  readonly shown: string;
  /** They are a part of the target, and what a copy that was broken off has left of them may be written over. */
  readonly isPart: boolean;
}

/** Before anything is written. @param isResumed the target has a part of a copy @throws {AltLasError} `conflict`: there are others */
export async function refuseOthers({ from, to, shown, isPart }: AccountEnds, isResumed: boolean): Promise<void> {
  if (isPart && isResumed) return;
  const there = withoutDoubles(await to.read());
  if (isNobody(there) || isDeepStrictEqual(there, withoutDoubles(await from.read()))) return;
  const sentence = `${shown} has other users and keys already, and is left as it is. Move them away first, or take an empty place; nothing was copied.`;
  throw new AltLasError("conflict", sentence);
}

/** @returns how many there are, by their names in the last sentence @throws {AltLasError} `conflict`: the copy is not the same */
export async function copyAccounts({ from, to, shown }: AccountEnds): Promise<ReadonlyMap<string, number>> {
  const accounts = withoutDoubles(await from.read());
  const isThere = isDeepStrictEqual(withoutDoubles(await to.read()), accounts);
  if (!isThere) await to.change(() => ({ accounts, result: null }));
  const known = hashesOf(accounts);
  const uses = [...(await from.uses())].filter(([sha256]) => known.has(sha256));
  if (uses.length > 0) await to.addUses(new Map(uses), () => true);
  if (!isDeepStrictEqual(withoutDoubles(await to.read()), accounts))
    throw new AltLasError("conflict", `The copy of users and keys in ${shown} is not the same: copy again.`);
  return new Map([
    ["users", accounts.users.length],
    ["keys", accounts.keys.length],
  ]);
}

function isNobody({ users, keys, removed = [] }: Accounts): boolean {
  return users.length + keys.length + removed.length === 0;
}
