/** The user that the claims of a token describe. The token's signature is right by then, so its owner may be told what is wrong with it. */
import { checkFor } from "../../common/ajv.ts";
import { shown } from "../../common/validation.ts";
import { type Config, type Role, ROLES, UserSchema } from "../../config/config.ts";
import { AltLasError } from "../../errors.ts";
import { nameOf } from "../anonymous.ts";

export type Claims = Readonly<Record<string, unknown>>;

/** A user, as its issuer describes it. */
export interface Identity {
  readonly name: string;
  readonly role: Role;
  /** null: it is in none. */
  readonly team: string | null;
}

type Settings = Pick<Config["auth"]["oidc"], "claims" | "roles" | "default_role">;

const isName = checkFor(UserSchema.properties.name);

/** @throws {AltLasError} `unauthorized`: a claim is missing, or means nothing here */
export function identityOf(claims: Claims, settings: Settings): Identity {
  const { user, team } = settings.claims;
  const name = nameIn(claims, user, "user");
  if (name === null) throw refusal(`has no claim ${shown(user)}, which names its user`);
  return { name, role: roleOf(claims, settings), team: team === undefined ? null : nameIn(claims, team, "team") };
}

/** null: there is no such claim. */
function nameIn(claims: Claims, claim: string, what: "user" | "team"): string | null {
  const given = valueOf(claims, claim);
  if (given === undefined) return null;
  const name = typeof given === "string" ? nameOf(given) : "";
  if (isName(name)) return name;
  throw refusal(`has ${shown(given)} as ${shown(claim)}, which is no name that a ${what} may have here`);
}

function roleOf(claims: Claims, { claims: { role: claim }, roles, default_role: fallback }: Settings): Role {
  const given = claim === undefined ? undefined : valueOf(claims, claim);
  const values = new Set([given].flat());
  const found = ROLES.find((role) => roles[role].some((value) => values.has(value))) ?? fallback;
  if (found !== undefined) return found;
  const what = `the claim ${shown(claim)}, which gives its user a role`;
  throw refusal(given === undefined ? `has no ${what.slice(4)}` : `has nothing in ${what} that means one here`);
}

/** By its name, which may have dots in it, or else by the names on the way to it. */
function valueOf(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  return name.split(".").reduce<unknown>((inside, part) => {
    const isObject = inside !== null && typeof inside === "object" && !Array.isArray(inside);
    return isObject && Object.hasOwn(inside, part) ? (inside as Claims)[part] : undefined;
  }, claims);
}

/** @param fault what is wrong with the token, as a sentence goes on that begins with it */
export function refusal(fault: string): AltLasError {
  return new AltLasError("unauthorized", `The token ${fault}.`);
}
