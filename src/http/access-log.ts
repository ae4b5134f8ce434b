/**
 * A line for requests that were refused, failed or took unusually long, or for all of them. It has the route instead of the URL, and nothing of
 * what was sent. Refusals may come in floods, which a client can make at no cost: beyond a few lines they are counted.
 */
import type { Socket } from "node:net";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import type { Config } from "../config/config.ts";
import { type AltLasError, type ErrorCode, ERRORS } from "../errors.ts";
import { LineBudget } from "../log/line-budget.ts";
import { forManyLines, type Logger } from "../log/log.ts";
import { isLarge } from "./body-queue.ts";
import type { Proxies } from "./proxies.ts";
import type { ServerParts } from "./server-parts.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The code of the failure that it was answered with; null: it was not. */
    refusal: ErrorCode | null;
  }
  interface FastifyContextConfig {
    /** Whether its answers wait for what tasks do; absent: they do not, unless their headers say so. */
    readonly isPatient?: boolean;
  }
}

/** A refusal of data before it became a request. */
export interface OddRefusal {
  readonly socket: Socket;
  readonly error: AltLasError;
  readonly requestId: string;
}

/** Health checks and scrapes, which come every few seconds. */
const PROBES: ReadonlySet<string | undefined> = new Set(["/livez", "/readyz", "/healthz", "/metrics"]);
/** Milliseconds; an answer that waits for nothing but the disk and its turn takes less by far. */
const SLOW = 10_000;
/** Lines of a kind in a minute, and those of them about one user, or one address that has shown no credentials. */
const LINES = 100;
const LINES_OF_SOURCE = 20;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

type Kind = "refused" | "failed" | "slow";

const MESSAGES: Readonly<Record<Kind, string>> = {
  refused: "request refused",
  failed: "request failed",
  slow: "request took long",
};

export class AccessLog {
  readonly #log: Logger;
  readonly #proxies: Proxies;
  readonly #live: { readonly config: Config };
  /** Bytes of the largest body. */
  readonly #largest: number;
  readonly #budgets: Readonly<Record<Kind, LineBudget>>;
  /** Requests that got no line, by status, since the last summary. */
  readonly #unsaid = new Map<number, number>();
  #summary: NodeJS.Timeout | undefined;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(
    { config, live, log }: Pick<ServerParts, "config" | "live" | "log">,
    proxies: Proxies,
    now = () => performance.now(),
  ) {
    this.#log = forManyLines(log);
    this.#proxies = proxies;
    this.#live = live;
    this.#largest = config.limits.max_body_bytes;
    const budget = (): LineBudget => new LineBudget({ lines: LINES, ofSource: LINES_OF_SOURCE, now });
    this.#budgets = { refused: budget(), failed: budget(), slow: budget() };
  }

  attach(app: FastifyInstance): void {
    app.addHook("onResponse", (request, reply, done) => {
      this.answered(request, reply);
      done();
    });
    app.addHook("onClose", (_app, done) => {
      this.#summarize();
      done();
    });
  }

  get #requests(): Config["log"]["requests"] {
    return this.#live.config.log.requests;
  }

  /** An answer is out. */
  answered(request: FastifyRequest, reply: FastifyReply): void {
    if (this.#requests === "none") return;
    const kind = kindOf(request, reply, this.#largest);
    const logsAll = this.#requests === "all";
    const isWanted = kind !== null || logsAll || this.#log.isLevelEnabled("debug");
    if (!isWanted || PROBES.has(request.routeOptions.url)) return;
    const line = this.#lineOf(request, reply);
    if (logsAll) return this.#log.info(line, kind === null ? "request" : MESSAGES[kind]);
    if (kind === null) return this.#log.debug(line, "request");
    this.#tell(kind, line.user ?? line.address, reply.statusCode, line);
  }

  refusedOdd({ socket, error: { code }, requestId }: OddRefusal): void {
    if (this.#requests === "none") return;
    const address = this.#proxies.clientOf({ socket, headers: {} });
    const { status } = ERRORS[code];
    const line = { status, address, code, request_id: requestId };
    if (this.#requests === "all") this.#log.info(line, MESSAGES.refused);
    else this.#tell("refused", address, status, line);
  }

  #tell(kind: Kind, source: string, status: number, line: object): void {
    if (this.#budgets[kind].take(source)) return this.#log.info(line, MESSAGES[kind]);
    this.#log.debug(line, MESSAGES[kind]);
    this.#unsaid.set(status, (this.#unsaid.get(status) ?? 0) + 1);
    this.#summary ??= setTimeout(() => this.#summarize(), this.#budgets[kind].left).unref();
  }

  #lineOf(request: FastifyRequest, reply: FastifyReply) {
    const { id, method, routeOptions, raw, refusal, params } = request;
    const caller = request.caller as Caller | undefined;
    const task = taskIn(params, reply);
    return {
      method,
      route: routeOptions.url ?? null,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime * 10) / 10,
      user: caller?.name,
      address: this.#proxies.clientOf(raw),
      ...(refusal !== null && { code: refusal }),
      ...(task !== null && { task }),
      request_id: id,
    };
  }

  /** One line for all that had none. */
  #summarize(): void {
    clearTimeout(this.#summary);
    this.#summary = undefined;
    if (this.#unsaid.size === 0) return;
    const requests = this.#unsaid.values().reduce((sum, count) => sum + count, 0);
    this.#log.info(
      { requests, by_status: Object.fromEntries(this.#unsaid) },
      "requests that have no line of their own",
    );
    this.#unsaid.clear();
  }
}

/** The fields that decide whether a request is unusual. */
interface Answered {
  readonly request: Pick<FastifyRequest, "headers"> & {
    readonly routeOptions: Pick<FastifyRequest["routeOptions"], "config">;
  };
  readonly reply: Pick<FastifyReply, "statusCode" | "elapsedTime"> & {
    readonly raw: Pick<FastifyReply["raw"], "hasHeader">;
  };
}

/** @param largest bytes of the largest body that is taken @returns null: there is nothing unusual about it */
export function kindOf(request: Answered["request"], reply: Answered["reply"], largest: number): Kind | null {
  const { statusCode } = reply;
  if (statusCode >= 400) return statusCode >= 500 ? "failed" : "refused";
  return reply.elapsedTime > SLOW && !isSlowByNature(request, reply, largest) ? "slow" : null;
}

/**
 * Whether it took as long as somebody else had it take:
 *  1. the client asked to be held, or for what waits for tasks;
 *  2. the answer has no length, so it went out as it came about, or as its client read it;
 *  3. the body is large, and comes as fast as its client sends.
 */
function isSlowByNature(
  { headers, routeOptions }: Answered["request"],
  { raw }: Answered["reply"],
  largest: number,
): boolean {
  if (routeOptions.config.isPatient === true || raw.hasHeader("preference-applied")) return true; // 1
  if (!raw.hasHeader("content-length")) return true; // 2
  return headers["transfer-encoding"] !== undefined || isLarge(Number(headers["content-length"] ?? 0), largest); // 3
}

/** The task that it is about; null: there is none, or not just one. A value that is no id may be anything that a client has sent. */
function taskIn(params: unknown, reply: FastifyReply): string | null {
  // Not of `raw`, which keeps no headers of an answer that goes out as it comes about.
  const named = (params as { readonly task_id?: string } | null)?.task_id ?? reply.getHeader("x-task-id");
  return typeof named === "string" && UUID.test(named) ? named.toLowerCase() : null;
}
