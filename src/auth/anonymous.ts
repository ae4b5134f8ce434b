/** `auth.anonymous_user`: whether it exists, which only the data directory can tell where the configuration does not name it. */
import { ALT_LAS, dataDirWords, shellWord } from "../common/paste.ts";
import type { Config, Check } from "../config/config.ts";
import { readCredentials } from "./file.ts";

/** Beside the rules of the configuration itself; users on PostgreSQL are asked for by the start. @throws {AltLasError} `bad_config`: the file of users is damaged */
export function anonymousUserExists(dataDir: string): Check {
  return ({ auth, store }) => {
    const name = auth.anonymous_user;
    if (name === undefined || !auth.enabled || store.url !== undefined) return [];
    const users = [...auth.users, ...readCredentials(dataDir).users];
    if (users.some((user) => nameOf(user.name) === nameOf(name))) return [];
    return [{ path: ["auth", "anonymous_user"], sentence: unknownAnonymous(name, dataDir) }];
  };
}

/** @param dataDir where the user would be added */
export function unknownAnonymous(name: string, dataDir: string): string {
  const command = `${ALT_LAS} users add ${shellWord(name)} --role user${dataDirWords(dataDir)}`;
  return `auth.anonymous_user is ${name}, and there is no such user; "${command}" adds one.`;
}

/** The user's name as tables have it: the same characters can be typed as different code points (RFC 8265). */
export function nameOf(written: string): string {
  return written.normalize("NFC");
}

/** The warning about the user that an operator needs; null: none. */
export function warningOfAnonymous(
  { anonymous_user: name }: Config["auth"],
  role: string | undefined,
  dataDir: string,
): string | null {
  if (name === undefined || (role !== undefined && role !== "admin")) return null;
  if (role === undefined) return `${unknownAnonymous(name, dataDir)} Until then requests need credentials.`;
  return `auth.anonymous_user is ${name}, an admin: every program on this machine may do everything here.`;
}
