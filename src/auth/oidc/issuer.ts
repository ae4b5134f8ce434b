/**
 * The issuer, by the metadata that it publishes: where its endpoints are, and the keys that it signs with.
 *
 *  1. It is asked when its keys are wanted first, and again when they are old. Nobody waits for the second: what is known goes on meanwhile,
 *     and as long as the issuer does not answer.
 *  2. A token that was signed with an unknown key has it asked at once: issuers change their keys. After each look it is left alone for a
 *     while, so that tokens with made-up keys are no flood.
 *  3. Without any keys nothing can be checked. That is no fault of the token: 503.
 */
import type { JSONWebKeySet, JWTVerifyGetKey } from "jose";
import { AltLasError, messageOf } from "../../errors.ts";
import type { Logger } from "../../log/log.ts";

/** Milliseconds after which the keys are looked at again. */
const OLD = 600_000;
/** Milliseconds between two looks for a key that is unknown, or after a look that failed. */
const PAUSE = 10_000;
/** Milliseconds between two lines about an issuer that does not answer. */
const TELL = 600_000;

/** The metadata and the keys that it has published, at one look. */
export interface Published {
  /** The document of `/.well-known/openid-configuration`. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Finds the key of a token. */
  readonly keyOf: JWTVerifyGetKey;
  /** The keys that a token may have been signed with which names this one, as text: another text is another key. */
  textOf(kid: string | undefined): string;
}

export interface IssuerOptions {
  /** `auth.oidc.issuer` */
  readonly issuer: string;
  readonly log: Logger;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
}

export class Issuer {
  readonly #options: IssuerOptions;
  #published: Published | null = null;
  /** The look under way. */
  #look: Promise<Published> | null = null;
  /** When it was asked last, and when it last answered (ms of the clock). */
  #asked = -Infinity;
  #answered = -Infinity;
  /** When it was told last that it does not answer; null: it does. */
  #told: number | null = null;

  constructor(options: IssuerOptions) {
    this.#options = options;
  }

  /** @throws {AltLasError} `issuer_unavailable`: nothing is known yet, and the issuer does not answer */
  async published(): Promise<Published> {
    const { now } = this.#options;
    if (this.#published === null) return this.#ask();
    if (now() - this.#answered >= OLD && now() - this.#asked >= PAUSE) void this.#ask().catch(() => {});
    return this.#published;
  }

  /**
   * The metadata and the keys that it publishes now, for a token whose key is unknown; null: it was asked a moment ago.
   * @throws {AltLasError} `issuer_unavailable`: it did not answer, so that nobody knows whether it has such a key
   */
  async publishedNow(): Promise<Published | null> {
    const isRecent = this.#look === null && this.#options.now() - this.#asked < PAUSE;
    if (isRecent && this.#told === null) return null;
    return this.#ask();
  }

  /** The metadata and the keys that are known of it; null: none. */
  get known(): Published | null {
    return this.#published;
  }

  #ask(): Promise<Published> {
    const { now } = this.#options;
    if (this.#look !== null) return this.#look;
    const pause = this.#asked + PAUSE - now();
    // Its last answer was a failure, or there would have been no question.
    if (pause > 0 && this.#told !== null) return Promise.reject(unavailable(pause));
    this.#asked = now();
    this.#look = this.#fetch().finally(() => (this.#look = null));
    return this.#look;
  }

  async #fetch(): Promise<Published> {
    const { now, log, issuer } = this.#options;
    try {
      const published = await read(issuer);
      this.#published = published;
      this.#answered = now();
      if (this.#told !== null) log.info(`The issuer ${issuer} answers again.`);
      this.#told = null;
      return published;
    } catch (error) {
      if (this.#told === null || now() - this.#told >= TELL) {
        const rest = this.#published === null ? "No token can be checked until it does" : "Its keys known before stay";
        log.warn(`The issuer ${issuer} does not answer as it should: ${messageOf(error)} ${rest}.`);
        this.#told = now();
      }
      throw unavailable(PAUSE);
    }
  }
}

function unavailable(pause: number): AltLasError {
  const sentence = "The issuer of the token does not answer, so the token cannot be checked now. Try again later.";
  return new AltLasError("issuer_unavailable", sentence, { retryAfter: pause / 1000 });
}

/** @throws {Error} with a sentence for the operator */
async function read(issuer: string): Promise<Published> {
  const [{ documentAt }, { createLocalJWKSet }] = await Promise.all([
    import("./issuer-http.ts"),
    import("jose/jwks/local"),
  ]);
  const metadata = await documentAt(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const { issuer: named, jwks_uri: place } = metadata;
  if (named !== issuer) throw new Error(`It calls itself ${JSON.stringify(named)}; auth.oidc.issuer must be the same.`);
  const url = typeof place === "string" ? URL.parse(place) : null;
  if (url === null || (url.protocol !== "https:" && url.protocol !== new URL(issuer).protocol))
    throw new Error(`Its jwks_uri must be an https address; it is ${JSON.stringify(place)}.`);
  const keys = (await documentAt(url.href)) as unknown as JSONWebKeySet;
  return {
    metadata,
    // Only what it checks is used of it.
    keyOf: createLocalJWKSet(keys),
    textOf: (kid) => JSON.stringify(kid === undefined ? keys.keys : keys.keys.filter((key) => key.kid === kid)),
  };
}
