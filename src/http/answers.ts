/** Counts answers in the memory for requests until clients take them, and bounds the open requests of a caller. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { getHeapStatistics } from "node:v8";
import { callerLimit } from "../config/caller-limits.ts";
import type { LiveSettings } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { onceClosed } from "./closing.ts";
import type { RequestMemory } from "./request-memory.ts";

declare module "fastify" {
  interface FastifyInstance {
    memory: RequestMemory;
  }
}

/** Characters from which on an answer is counted; smaller ones fit into the buffers of a connection. */
export const LARGE = 64 * 1024;

/** Requests of one caller, where the configuration does not say; or one for each so many bytes of heap, where those are fewer. */
const DEFAULT_OPEN = 10_000;
const HEAP_FOR_ONE = 64 * 1024;

/** Counts large answers while they are on their way; one that does not fit becomes a refusal. */
export function countAnswers(app: FastifyInstance, memory: RequestMemory): void {
  app.decorate("memory", memory);
  app.addHook("onSend", (_request, reply, payload, done) => {
    if (typeof payload !== "string" || payload.length < LARGE) return done(null, payload);
    try {
      holdForAnswer(reply, payload.length);
    } catch (error) {
      return done(error as Error);
    }
    done(null, payload);
  });
}

/**
 * Takes memory until the answer is out or its client has gone. If it has to give way to another's, the connection breaks off.
 * @throws {AltLasError} `rate_limited`, `overloaded`
 */
export function holdForAnswer({ server, request, raw }: FastifyReply, bytes: number): void {
  // At a server that stands by, the one that leads knows the caller. A client of the Unix socket has no address.
  const { caller, ip } = request as Partial<Pick<FastifyRequest, "caller" | "ip">>;
  const user = caller?.name ?? ip ?? "";
  const holding = server.memory.hold(user, () => raw.destroy());
  holding.take(bytes);
  if (raw.destroyed) return holding.release();
  onceClosed(raw, () => holding.release());
}

/** As `holdForAnswer`, for an answer that has begun; small pieces are not counted. */
export function mayHold(reply: FastifyReply, characters: number): boolean {
  if (characters < LARGE) return true;
  try {
    holdForAnswer(reply, characters);
    return true;
  } catch {
    return false;
  }
}

/** Refuses a caller's requests beyond its own limit, or else `limits.max_open_requests`: readers that wait or read along, and what is under way. */
export function boundOpenRequests(live: Pick<LiveSettings, "config">) {
  const { limits } = live.config;
  const ofAll =
    limits.max_open_requests ?? Math.min(DEFAULT_OPEN, Math.floor(getHeapStatistics().heap_size_limit / HEAP_FOR_ONE));
  const open = new Map<string, number>();
  return ({ caller: { name }, pass }: FastifyRequest, { raw }: FastifyReply, done: () => void): void => {
    // The submission is counted whose answer it goes on with.
    if (pass?.isCounted === true) return done();
    const count = open.get(name) ?? 0;
    const own = callerLimit(live.config.callers, name, "max_open_requests");
    if (pass === undefined && count >= (own?.most ?? ofAll)) {
      const sentence = `${name} has ${count} requests open, and ${own?.setIn ?? "limits.max_open_requests"} allows no more. Try again when some have ended.`;
      throw new AltLasError("rate_limited", sentence);
    }
    open.set(name, count + 1);
    onceClosed(raw, () => {
      const left = open.get(name)! - 1;
      if (left === 0) open.delete(name);
      else open.set(name, left);
    });
    done();
  };
}
