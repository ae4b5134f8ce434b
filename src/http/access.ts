/** Decides who may do what. The hooks run before a request's body is read, so that a refusal costs nothing. */
import type { FastifyReply, FastifyRequest, RouteOptions } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import { ROLES, type Role, type Scope } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import type { ServerParts } from "./server-parts.ts";

export type Hook = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void;

/** The rights that a route asks of its caller. */
export interface Access {
  /** The scope that a key must have if it is held to scopes; null: any key will do. */
  readonly scope: Scope | null;
  readonly roles: readonly Role[];
}

const ACCESS = new WeakMap<object, Access>();

/** @param doing what the route does, as a sentence about it begins; @param then what else it asks, before a body is read */
function guard(doing: string, access: Access, then?: (request: FastifyRequest) => void): Hook {
  const { scope, roles } = access;
  const hook: Hook = (request, _reply, done) => {
    const { caller } = request;
    if (!roles.includes(caller.role)) throw forbidden(doing, `the role ${roles.join(" or ")}`, caller);
    if (scope !== null && caller.scopes !== null) {
      if (!caller.scopes.has(scope)) throw outOfScope(doing, scope, caller);
      if (scope === "submit") request.caller = onlyOwner(caller);
    }
    then?.(request);
    done();
  };
  ACCESS.set(hook, access);
  return hook;
}

/**
 * An admin whose key lacks the scope `admin` has no more to say about what is others' than a user: with `submit` alone one could else cancel
 * and remove everybody's work, or unload models.
 */
function onlyOwner(caller: Caller): Caller {
  return caller.role === "admin" && caller.scopes?.has("admin") === false ? { ...caller, role: "user" } : caller;
}

function forbidden(doing: string, needed: string, { name, role }: Caller): AltLasError {
  return new AltLasError("forbidden", `${doing} needs ${needed}; ${name} has the role ${role}.`);
}

function outOfScope(doing: string, scope: Scope, { keyName, scopes }: Caller): AltLasError {
  const has = [...(scopes ?? [])].join(" and ");
  return new AltLasError("forbidden", `${doing} needs a key with the scope ${scope}; the key ${keyName} has ${has}.`);
}

/** The rights that a route asks of its caller, by its hooks; undefined: it does not say. */
export function accessOf({ onRequest }: Pick<RouteOptions, "onRequest">): Access | undefined {
  for (const hook of [onRequest ?? []].flat()) {
    const access = ACCESS.get(hook);
    if (access !== undefined) return access;
  }
  return undefined;
}

/** For routes that read, which all may that have credentials. */
const READING = reading("Reading this");

/**
 * Lets no route be without a guard: one that only reads and says nothing is for all who may read; any other has to say who may call it.
 * To be added to the routes' instance before them.
 * @throws {Error} a route that changes something has no guard
 */
export function guardRoute(route: RouteOptions): void {
  if (accessOf(route) !== undefined) return;
  const methods = [route.method].flat();
  if (methods.some((method) => method !== "GET" && method !== "HEAD"))
    throw new Error(
      `${methods.join()} ${route.url} does not say who may call it: add a guard of access.ts to its onRequest.`,
    );
  route.onRequest = [READING, ...[route.onRequest ?? []].flat()];
}

/** Lets everybody pass who has credentials, whatever their key is held to. */
export function anybody(): Hook {
  return guard("", { scope: null, roles: ROLES });
}

/** Lets only those pass whose key may read. @param doing what it is, as a sentence about it begins */
export function reading(doing: string): Hook {
  return guard(doing, { scope: "read", roles: ROLES });
}

/** Those who may have tasks. */
const OWNERS = ["user", "admin"] as const;

/**
 * Lets only those pass who may submit tasks, only while the server takes any, and only as often as this caller may.
 * @param isDry whether a request asks only what would come of it, which counts for nothing
 */
export function submission(
  { draining, config, tasks }: ServerParts,
  isDry: (request: FastifyRequest) => boolean = () => false,
): Hook {
  return guard("Submitting a task", { scope: "submit", roles: OWNERS }, (request) => {
    const { caller } = request;
    if (draining()) {
      throw new AltLasError("draining", "The server is stopping and takes no new tasks.", {
        retryAfter: config.server.drain_timeout,
      });
    }
    if (isDry(request)) tasks.refuseOverRequests(caller.name, caller.team);
    else tasks.countRequest(caller.name, caller.team);
  });
}

/**
 * Lets only those pass who may have tasks of their own, and so change some. Which ones is for the handler to find out, by `maySee`.
 * @param doing what it is, as a sentence about it begins
 */
export function mayChange(doing: string): Hook {
  return guard(doing, { scope: "submit", roles: OWNERS });
}

/** Lets only those pass who may collect what the server measures of all. @param doing what it is, as a sentence about it begins */
export function observation(doing: string): Hook {
  return guard(doing, { scope: "metrics", roles: ["admin", "viewer"] }, ({ caller }) => {
    if (seesAll(caller)) return;
    const sentence = `${doing} is for viewers of the whole server; ${caller.name} sees the team ${caller.team} alone.`;
    throw new AltLasError("forbidden", sentence);
  });
}

/** Lets only those pass who may change what the server as a whole does. @param doing what it is, as a sentence about it begins */
export function administration(doing: string): Hook {
  return guard(doing, { scope: "admin", roles: ["admin"] });
}

/** Whose something is: the user who has made it, and the team that this user was in then. */
export interface Owned {
  readonly user: string;
  readonly team: string | null;
}

/**
 * Whose things a caller sees, as filters of the store take it; undefined: any. A user sees its own tasks, batches and files, a viewer that has
 * a team what is the team's, and the others all.
 */
export function ownersFor({ name, role, team }: Caller): { readonly [Of in keyof Owned]: string | undefined } {
  return { user: role === "user" ? name : undefined, team: role === "viewer" ? (team ?? undefined) : undefined };
}

export function maySee(caller: Caller, owned: Owned): boolean {
  const { user = owned.user, team = owned.team } = ownersFor(caller);
  return owned.user === user && owned.team === team;
}

/** Whether it sees what any user has, and what operators are told. */
export function seesAll(caller: Caller): boolean {
  const { user, team } = ownersFor(caller);
  return user === undefined && team === undefined;
}

/** A viewer watches the server: it sees what becomes of tasks, but not what their users have asked. @throws {AltLasError} `forbidden` */
export function refuseToShowRequest({ name, role }: Caller, task: { readonly user: string }): void {
  if (role === "admin" || task.user === name) return;
  const sentence = `The request of a task is for its user and for the role admin; ${name} has the role ${role}.`;
  throw new AltLasError("forbidden", sentence);
}
