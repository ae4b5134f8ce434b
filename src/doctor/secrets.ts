/**
 * Keeps secrets out of a page that is made to be pasted where everybody reads it. Secret keys are left out by the schema; this is the second
 * lock, for sentences of others that repeat a value, and for secrets under a key that is none.
 */
import { partsAt, type SchemaPart } from "../config/environment.ts";
import { ConfigSchema } from "../config/schema.ts";
import type { Path } from "../config/findings.ts";

/** Names of things that nobody else should know. */
const SECRET_NAME = /key|token|secret|password|passwd|sha256|hash|credential|auth(?!or)/i;
/** Characters of a value below which it may be any word of the page. */
const SHORTEST = 6;

/** Every text under a secret key of the configuration, or a key that is named like one, wherever it stands. */
export function secretsIn(value: unknown, path: Path = [], isInside = false): string[] {
  if (typeof value === "string") return isInside ? [value] : [];
  if (typeof value === "number") return isInside ? [String(value)] : [];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const at = [...path, Array.isArray(value) ? Number(name) : name];
    return secretsIn(inner, at, isInside || isSecret(at, inner));
  });
}

function isSecret(path: Path, value: unknown): boolean {
  if (partsAt(ConfigSchema as unknown as SchemaPart, path).some(({ secret }) => secret === true)) return true;
  // A section may be named like a secret, as auth is, and a list of keys has more than secrets in it.
  return typeof value !== "object" && SECRET_NAME.test(String(path.at(-1)));
}

/** Values of variables that are named like a secret. */
export function secretsOf(environment: NodeJS.ProcessEnv): string[] {
  return Object.entries(environment).flatMap(([name, value]) => (SECRET_NAME.test(name) && value ? [value] : []));
}

/** A text without these secrets, and without logins and queries of the addresses in it. */
export function scrubbed(text: string, secrets: readonly string[]): string {
  const known = secrets.filter(({ length }) => length >= SHORTEST).toSorted((a, b) => b.length - a.length);
  const without = known.reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), text);
  return without.replace(
    /\b([a-z][a-z0-9+.-]*:\/\/)([^\s/?#@"']*@)?([^\s?#"']*)([?#][^\s"']*)?/gi,
    (_all, scheme, _login, rest, query) => (query === undefined ? `${scheme}${rest}` : `${scheme}${rest}?…`),
  );
}

/** Every text in a value, scrubbed; the names of its parts, too. */
export function withoutSecrets<T>(value: T, secrets: readonly string[]): T {
  if (typeof value === "string") return scrubbed(value, secrets) as T;
  if (Array.isArray(value)) return value.map((inner) => withoutSecrets<unknown>(inner, secrets)) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [scrubbed(name, secrets), withoutSecrets<unknown>(inner, secrets)]),
  ) as T;
}
