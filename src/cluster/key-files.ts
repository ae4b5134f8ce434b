/** The files that the section `cluster` names. */
import { readFileSync } from "node:fs";
import { AltLasError, messageOf } from "../errors.ts";
import { holderOf, keyOf, type OperatorKeys } from "./credentials.ts";

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

/** @returns null: none are named @throws {AltLasError} `bad_config` */
export function operatorKeys(path: string | undefined): OperatorKeys | null {
  if (path === undefined) return null;
  const text = textOf("operator_key", path);
  const [operator, system] = [/^SO[A-Z2-7]{56}$/m, /^SA[A-Z2-7]{56}$/m].map((seed) => seed.exec(text)?.[0]);
  if (operator !== undefined && system !== undefined) return { operator, system };
  const sentence = `cluster.operator_key: ${path} has no keys of a NATS operator and its system account (SO…, SA…).`;
  throw new AltLasError("bad_config", sentence);
}

function textOf(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new AltLasError("bad_config", `cluster.${name} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
}
