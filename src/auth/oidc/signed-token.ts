/**
 * Checks signed tokens (RFC 7519): first what costs nothing, then the signature, then the claims. Of what a token says, nobody is told
 * anything before its signature is right.
 */
import type { JWTVerifyGetKey, JWTVerifyOptions } from "jose";
import { errors } from "jose";
import { jwtVerify } from "jose/jwt/verify";
import { isoTime, wallTime } from "../../common/clock.ts";
import { shown } from "../../common/validation.ts";
import type { Config } from "../../config/config.ts";
import { LONGEST_SECONDS } from "../../config/section.ts";
import type { AltLasError } from "../../errors.ts";
import { type Claims, refusal } from "./claims.ts";
import type { Issuer, Published } from "./issuer.ts";

/** Characters of a token. */
const LONGEST = 8192;
/** Keys that a token is tried with which does not name its own. */
const TRIES = 10;

export type TokenSettings = Pick<Config["auth"]["oidc"], "issuer" | "algorithms" | "clock_tolerance">;

/** A token that is right. */
export interface Proven {
  readonly claims: Claims;
  /** Unix milliseconds. */
  readonly expiresAt: number;
  /** The name of the key that it was signed with. */
  readonly kid: string | undefined;
}

/**
 * @param audience whom the token must be for
 * @throws {AltLasError} `unauthorized`; `issuer_unavailable`: nobody can check it now
 */
export async function prove(token: string, audience: string, settings: TokenSettings, issuer: Issuer): Promise<Proven> {
  const kid = refuseAtSight(token, settings);
  const options = {
    issuer: settings.issuer!,
    audience,
    algorithms: [...settings.algorithms],
    clockTolerance: settings.clock_tolerance,
    currentDate: new Date(wallTime()),
    requiredClaims: ["exp"],
  };
  const claims = (await verified(token, options, issuer)) as Claims & { readonly exp: number };
  const seconds = Math.min(claims.exp + settings.clock_tolerance, wallTime() / 1000 + LONGEST_SECONDS);
  return { claims, expiresAt: Math.floor(seconds * 1000), kid };
}

/** @returns the name of its key @throws {AltLasError} `unauthorized` */
function refuseAtSight(token: string, { issuer, algorithms }: TokenSettings): string | undefined {
  if (token.length > LONGEST) throw refusal(`has ${token.length} characters; at most ${LONGEST} are read`);
  const [header, payload] = token.split(".", 2).map(objectIn);
  if (header === null || payload === null || header === undefined || payload === undefined)
    throw refusal("is no signed token that can be read");
  const { alg, kid } = header;
  if (typeof alg === "string" && alg.toLowerCase() === "none") throw refusal("is not signed");
  if (!algorithms.some((one) => one === alg)) throw refusal(`is signed by ${shown(alg)}, which is not taken here`);
  if (payload["iss"] !== issuer) throw refusal("is of an issuer that this server does not trust");
  return typeof kid === "string" ? kid : undefined;
}

function objectIn(part: string): Claims | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Claims) : null;
  } catch {
    return null;
  }
}

async function verified(token: string, options: JWTVerifyOptions, issuer: Issuer): Promise<Claims> {
  const known = await issuer.published();
  try {
    return await verifiedBy(token, options, known);
  } catch (error) {
    if (!(error instanceof errors.JWKSNoMatchingKey)) throw faultOf(error);
    // It may be a new one.
    const now = (await issuer.publishedNow()) ?? known;
    return verifiedBy(token, options, now).catch((second: unknown) => {
      throw faultOf(second);
    });
  }
}

async function verifiedBy(token: string, options: JWTVerifyOptions, { keyOf }: Published): Promise<Claims> {
  const verify = async (key: JWTVerifyGetKey): Promise<Claims> => (await jwtVerify(token, key, options)).payload;
  try {
    return await verify(keyOf);
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    let tries = 0;
    for await (const key of error) {
      if (++tries > TRIES) break;
      try {
        return await verify(() => key);
      } catch (fault) {
        if (!(fault instanceof errors.JWSSignatureVerificationFailed)) throw fault;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }
}

/** The refusal for what the library says. All that names a claim comes after the signature was found right. */
function faultOf(error: unknown): AltLasError {
  if (error instanceof errors.JWTExpired)
    return refusal(`has expired at ${timeOf(error.payload.exp)}; get another one from its issuer`);
  if (error instanceof errors.JWTClaimValidationFailed) return claimFault(error);
  if (error instanceof errors.JWKSNoMatchingKey) return refusal("is signed with a key that its issuer does not have");
  if (error instanceof errors.JWSSignatureVerificationFailed) return refusal("has a signature that is wrong");
  return refusal("cannot be checked: it is no signed token of a usual kind");
}

function claimFault({ claim, reason, payload }: InstanceType<typeof errors.JWTClaimValidationFailed>): AltLasError {
  if (reason === "missing") return refusal(`has no claim ${shown(claim)}`);
  if (claim === "aud") return refusal(`is for ${shown(payload.aud)}, and not for this server`);
  if (claim === "nbf" && typeof payload.nbf === "number")
    return refusal(
      `is not valid before ${timeOf(payload.nbf)}; the clocks of its issuer and of this server may differ`,
    );
  return refusal(`has a claim ${shown(claim)} that is not as it must be`);
}

/** @param seconds since 1970, of whatever size */
function timeOf(seconds: number | undefined): string {
  const last = 8.64e12;
  return isoTime(Math.max(-last, Math.min(last, seconds ?? 0)) * 1000);
}
