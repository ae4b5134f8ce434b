/** The files that the section `cluster` names. */
import { readFileSync } from "node:fs";
import { AltLasError, messageOf } from "../errors.ts";
import { holderOf, keyOf } from "./credentials.ts";

/** @returns what is in it; undefined: none is named @throws {AltLasError} `bad_config` */
export function fileOfCredentials(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const text = textOf("credentials", path);
  if (holderOf(text) !== null) return text;
  throw new AltLasError("bad_config", `cluster.credentials: ${path} has no NATS credentials.`);
}

/** @returns null: none is named @throws {AltLasError} `bad_config` */
export async function signingKey(path: string | undefined): Promise<string | null> {
  if (path === undefined) return null;
  const seed = textOf("signing_key", path).trim();
  const key = await keyOf(seed).catch(() => "");
  if (key.startsWith("A")) return seed;
  throw new AltLasError("bad_config", `cluster.signing_key: ${path} has no key of a NATS account (SA…).`);
}

function textOf(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new AltLasError("bad_config", `cluster.${name} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
}
