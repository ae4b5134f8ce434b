/** Tells callers how much they may still submit in this minute, where they have limits. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { wallTime } from "../common/clock.ts";
import type { Config } from "../config/config.ts";
import type { TaskApi } from "../tasks/task-api.ts";
import type { ServerParts } from "./server-parts.ts";

declare module "fastify" {
  interface FastifyInstance {
    /** Puts the headers on an answer that passes no hook, as it goes out while it comes about. */
    addRates?: (reply: FastifyReply) => void;
  }
}

type Rates = ReturnType<TaskApi["ratesOf"]>;
type Rate = NonNullable<Rates["requests"]>;

/** Makes headers of what a caller may still have; nothing where it has no limits. */
export type RateHeaders = (rates: Rates) => Readonly<Record<string, string>>;

/**
 * The fields of draft-ietf-httpapi-ratelimit-headers-06: of the limit that is nearer to its end, and all limits as policies. A bucket fills
 * steadily, so RateLimit-Reset is an upper bound: it is full then, and gives again before. A refusal's Retry-After is exact.
 */
export function standardHeaders({ requests, tokens }: Rates): Readonly<Record<string, string>> {
  const limits = [requests, tokens].filter((rate) => rate !== null);
  const [nearest] = limits.toSorted((a, b) => shareOf(a) - shareOf(b));
  if (nearest === undefined) return {};
  const policies = [policy(requests, "requests"), policy(tokens, "tokens")];
  return {
    "ratelimit-limit": String(nearest.limit),
    "ratelimit-remaining": String(nearest.remaining),
    "ratelimit-reset": String(Math.ceil(nearest.resetSeconds)),
    "ratelimit-policy": policies.filter((text) => text !== "").join(", "),
  };
}

/** The fields that OpenAI's API has in their place. */
export function openAiHeaders({ requests, tokens }: Rates): Readonly<Record<string, string>> {
  return {
    ...(requests && openAiFields(requests, "requests")),
    ...(tokens && openAiFields(tokens, "tokens")),
  };
}

function shareOf({ limit, remaining }: Rate): number {
  return remaining / limit;
}

function policy(rate: Rate | null, of: string): string {
  return rate === null ? "" : `${rate.limit};w=60;comment="${of}"`;
}

function openAiFields({ limit, remaining, resetSeconds }: Rate, of: string): Record<string, string> {
  return {
    [`x-ratelimit-limit-${of}`]: String(limit),
    [`x-ratelimit-remaining-${of}`]: String(remaining),
    [`x-ratelimit-reset-${of}`]: `${Math.ceil(resetSeconds * 1000) / 1000}s`,
  };
}

/** The fields of Anthropic's API, whose times are dates. */
export function anthropicHeaders({ requests, tokens }: Rates): Readonly<Record<string, string>> {
  return {
    ...(requests && anthropicFields(requests, "requests")),
    ...(tokens && anthropicFields(tokens, "tokens")),
  };
}

function anthropicFields({ limit, remaining, resetSeconds }: Rate, of: string): Record<string, string> {
  return {
    [`anthropic-ratelimit-${of}-limit`]: String(limit),
    [`anthropic-ratelimit-${of}-remaining`]: String(remaining),
    [`anthropic-ratelimit-${of}-reset`]: new Date(wallTime() + resetSeconds * 1000).toISOString(),
  };
}

/** Names of all, for web pages that may read them. */
export const RATE_HEADERS: readonly string[] = [
  "RateLimit-Limit",
  "RateLimit-Remaining",
  "RateLimit-Reset",
  "RateLimit-Policy",
  ...["Requests", "Tokens"].flatMap((of) =>
    ["Limit", "Remaining", "Reset"].flatMap((what) => [
      `X-RateLimit-${what}-${of}`,
      `Anthropic-RateLimit-${of}-${what}`,
    ]),
  ),
];

/** Puts the headers on every answer of these routes whose caller is known. Where nobody has a limit it costs next to nothing. */
export function tellRates(routes: FastifyInstance, { live, tasks }: ServerParts, headersOf: RateHeaders): void {
  let seen = live.config;
  let limited = anyLimits(seen.callers);
  const addRates = (reply: FastifyReply): void => {
    if (live.config !== seen) {
      seen = live.config;
      limited = anyLimits(seen.callers);
    }
    if (!limited) return;
    const caller = reply.request.caller as FastifyRequest["caller"] | undefined;
    if (caller !== undefined) reply.headers(headersOf(tasks.ratesOf(caller.name, caller.team)));
  };
  routes.decorate("addRates", addRates);
  routes.addHook("onSend", (_request, reply, payload, done) => {
    addRates(reply);
    done(null, payload);
  });
}

function anyLimits({ defaults, users, teams }: Config["callers"]): boolean {
  return [defaults, ...Object.values(users), ...Object.values(teams)].some(
    ({ requests_per_minute, tokens_per_minute }) => (requests_per_minute ?? tokens_per_minute) !== undefined,
  );
}
