/**
 * Sign-ins of the dashboard, each known by a secret that its browser keeps in a cookie. They are in memory only: after a restart people sign in
 * again, which their issuer mostly does without asking them.
 */
import { hash, randomBytes } from "node:crypto";
import { wallTime } from "../../common/clock.ts";
import type { Config } from "../../config/config.ts";
import { type Caller, hasExpired, type Tables, UNBOUND } from "../tables.ts";
import type { Identity } from "./claims.ts";

/** Sessions in all, and of one user; over it the oldest one ends. */
const MOST = 10_000;
const MOST_OF_USER = 50;

interface Session {
  readonly caller: Caller;
  readonly identity: Identity;
  /** Milliseconds of the clock. */
  usedAt: number;
}

export interface SessionsOptions {
  readonly settings: Config["auth"]["oidc"]["session"];
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** The identity that a user has here now; null: its tokens are refused. */
  readonly userOf: (identity: Identity, tables: Tables) => Identity | null;
}

export class Sessions {
  readonly #options: SessionsOptions;
  /** By the hashes of their secrets, the oldest first. */
  readonly #sessions = new Map<string, Session>();
  readonly #byCaller = new WeakMap<Caller, Session>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  /** How many there are, those that nobody has asked for since their end among them. */
  get size(): number {
    return this.#sessions.size;
  }

  /** @returns the secret, and who has it */
  begin(identity: Identity, user: Identity): { readonly secret: string; readonly caller: Caller } {
    this.#makeRoom(user.name);
    const secret = randomBytes(32).toString("base64url");
    const expiresAt = wallTime() + this.#options.settings.lifetime * 1000;
    const caller: Caller = Object.freeze({ ...UNBOUND, ...user, expiresAt, by: "session" });
    const session = { caller, identity, usedAt: this.#options.now() };
    this.#sessions.set(idOf(secret), session);
    this.#byCaller.set(caller, session);
    return { secret, caller };
  }

  /** null: there is no such session any more. */
  find(secret: string, tables: Tables): Caller | null {
    const id = idOf(secret);
    const session = this.#sessions.get(id);
    if (session === undefined) return null;
    if (this.#lives(session, tables)) {
      session.usedAt = this.#options.now();
      return session.caller;
    }
    this.#remove(id, session);
    return null;
  }

  /** @returns whether there was one */
  end(secret: string): boolean {
    const id = idOf(secret);
    const session = this.#sessions.get(id);
    if (session !== undefined) this.#remove(id, session);
    return session !== undefined;
  }

  /** Whether a caller still has its session. Asked for what it follows, which so counts as use: somebody looks at it. */
  holds(caller: Caller, tables: Tables): boolean {
    const session = this.#byCaller.get(caller);
    if (session === undefined || !this.#lives(session, tables)) return false;
    session.usedAt = this.#options.now();
    return true;
  }

  #remove(id: string, { caller }: Session): void {
    this.#sessions.delete(id);
    this.#byCaller.delete(caller);
  }

  #lives({ caller, identity, usedAt }: Session, tables: Tables): boolean {
    const { settings, now, userOf } = this.#options;
    if (hasExpired(caller) || now() - usedAt > settings.idle_timeout * 1000) return false;
    const user = userOf(identity, tables);
    return user !== null && user.role === caller.role && user.team === caller.team;
  }

  #makeRoom(name: string): void {
    const own = [...this.#sessions].filter(([, { caller }]) => caller.name === name);
    for (const [id, session] of own.slice(0, Math.max(0, own.length - MOST_OF_USER + 1))) this.#remove(id, session);
    for (const [id, session] of this.#sessions) {
      if (this.#sessions.size < MOST) break;
      this.#remove(id, session);
    }
  }
}

function idOf(secret: string): string {
  return hash("sha256", secret, "base64url");
}
