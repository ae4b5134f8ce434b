/** The limits that a caller or a team has for each minute. */
import { AltLasError } from "../errors.ts";
import { type BucketLevel, TokenBucket } from "./token-bucket.ts";

/** null: no limit. */
export interface PerMinute {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
}

/** Requests and tokens that may still be had in this minute; null: no limit. */
export interface Rates {
  readonly requests: BucketLevel | null;
  readonly tokens: BucketLevel | null;
}

/** Somebody whose tasks are limited: a caller or a team. */
export interface Limited {
  /** As it begins a sentence. */
  readonly title: string;
  /** Where a limit is set, as a sentence names it. */
  readonly placeOf: (key: "requests_per_minute" | "tokens_per_minute") => string;
  readonly perMinute: MinuteLimits;
}

export class MinuteLimits {
  requests: TokenBucket | null = null;
  tokens: TokenBucket | null = null;

  /** @param now Unix milliseconds */
  constructor(limits: PerMinute, now: number) {
    this.limit(limits, now);
  }

  /** They are others from now on. @param now Unix milliseconds */
  limit({ requestsPerMinute, tokensPerMinute }: PerMinute, now: number): void {
    this.requests = resized(this.requests, requestsPerMinute, now);
    this.tokens = resized(this.tokens, tokensPerMinute, now);
  }
}

/**
 * Names of all limits that are too low the one that lasts longest, so that its time is true.
 * @param amount how many are to be taken @param now Unix milliseconds
 * @throws {AltLasError} `rate_limited`
 */
export function refuseOverMinute(
  kind: "requests" | "tokens",
  amount: number,
  all: readonly (Limited | null)[],
  now: number,
): void {
  let longest = 0;
  let by: Limited | null = null;
  for (const one of all) {
    const seconds = one?.perMinute[kind]?.secondsUntil(amount, now) ?? 0;
    if (seconds <= longest) continue;
    longest = seconds;
    by = one;
  }
  if (by === null) return;
  const { limit } = by.perMinute[kind]!.level(now);
  const retryAfter = Math.ceil(longest);
  const what = kind === "requests" ? "submissions" : "tokens";
  const place = by.placeOf(`${kind}_per_minute`);
  const sentence = `${by.title} may have ${limit} ${what} a minute (${place}). Try again in ${retryAfter} s.`;
  throw new AltLasError("rate_limited", sentence, { retryAfter });
}

/** Of two limits the one that leaves less. */
export function tighter(one: BucketLevel | null, other: BucketLevel | null): BucketLevel | null {
  if (one === null || other === null) return one ?? other;
  return other.remaining < one.remaining ? other : one;
}

function resized(bucket: TokenBucket | null, perMinute: number | null, now: number): TokenBucket | null {
  if (perMinute === null) return null;
  if (bucket === null) return new TokenBucket(perMinute, now);
  bucket.resize(perMinute, now);
  return bucket;
}
