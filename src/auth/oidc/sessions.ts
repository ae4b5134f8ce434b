/**
 * Sign-ins of the dashboard, each known by a secret that its browser keeps in a cookie. The next server that leads a cluster knows them, too. Where
 * there is one server they are in memory only: after a restart people sign in again, which their issuer mostly does without asking them.
 */
import { hash, randomBytes } from "node:crypto";
import { wallTime } from "../../common/clock.ts";
import type { Config } from "../../config/config.ts";
import { type Caller, hasExpired, type Tables, UNBOUND } from "../tables.ts";
import type { Kept } from "../kept.ts";
import type { Identity } from "./claims.ts";

/** Sessions in all, and of one user; over it the oldest one ends. */
const MOST = 10_000;
const MOST_OF_USER = 50;

/** Milliseconds after which a use is told to the next server again; half of an idle timeout that is short. */
const TOLD = 60_000;

interface Session {
  /** The hash of its secret. */
  readonly id: string;
  readonly caller: Caller;
  readonly identity: Identity;
  /** Milliseconds of the clock. */
  usedAt: number;
  /** The use of which the next server knows. */
  toldAt: number;
}

/** As the next server finds it. */
interface KeptSession {
  readonly identity: Identity;
  /** The user here, as the session was begun. */
  readonly user: Identity;
  /** Unix milliseconds, both. */
  readonly expiresAt: number;
  readonly usedAt: number;
}

export interface SessionsOptions {
  readonly settings: Config["auth"]["oidc"]["session"];
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** Unix milliseconds; for tests. */
  readonly wall?: () => number;
  /** The identity that a user has here now; null: its tokens are refused. */
  readonly userOf: (identity: Identity, tables: Tables) => Identity | null;
}

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #wall: () => number;
  /** By the hashes of their secrets, the oldest first. */
  readonly #sessions = new Map<string, Session>();
  readonly #byCaller = new WeakMap<Caller, Session>();
  /** null: nobody goes on after this server. */
  #kept: Kept | null = null;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#wall = options.wall ?? wallTime;
  }

  /** Takes over those of the server before that live, and keeps all for the next one. */
  keep(kept: Kept, tables: Tables): void {
    this.#kept = kept;
    const now = this.#options.now();
    for (const [id, { identity, user, expiresAt, usedAt }] of kept.left<KeptSession>("session")) {
      const before = now - Math.max(0, this.#wall() - usedAt);
      this.#add({ id, caller: callerOf(user, expiresAt), identity, usedAt: before, toldAt: before });
    }
    this.sweep(tables);
  }

  #add(session: Session): void {
    this.#sessions.set(session.id, session);
    this.#byCaller.set(session.caller, session);
  }

  /** How many there are, those that have ended since the last sweep among them. */
  get size(): number {
    return this.#sessions.size;
  }

  /** @returns the secret, and who has it */
  begin(identity: Identity, user: Identity): { readonly secret: string; readonly caller: Caller } {
    this.#makeRoom(user.name);
    const secret = randomBytes(32).toString("base64url");
    const caller = callerOf(user, wallTime() + this.#options.settings.lifetime * 1000);
    const now = this.#options.now();
    this.#add({ id: idOf(secret), caller, identity, usedAt: now, toldAt: now });
    return { secret, caller };
  }

  /** Resolves when the next server would know of this one, or of its end. @throws {AltLasError} `store_unavailable` */
  async stored(secret: string): Promise<void> {
    const id = idOf(secret);
    const session = this.#sessions.get(id);
    await this.#kept?.put("session", id, session === undefined ? null : this.#keptOf(session));
  }

  /** null: there is no such session any more. */
  find(secret: string, tables: Tables): Caller | null {
    const session = this.#sessions.get(idOf(secret));
    if (session === undefined) return null;
    if (this.#lives(session, tables)) {
      this.#use(session);
      return session.caller;
    }
    this.#remove(session);
    return null;
  }

  #use(session: Session): void {
    session.usedAt = this.#options.now();
    const told = Math.min(TOLD, this.#options.settings.idle_timeout * 500);
    if (this.#kept === null || session.usedAt - session.toldAt < told) return;
    session.toldAt = session.usedAt;
    this.#kept.note("session", session.id, this.#keptOf(session));
  }

  /** @returns whether there was one */
  end(secret: string): boolean {
    const session = this.#sessions.get(idOf(secret));
    if (session !== undefined) this.#remove(session);
    return session !== undefined;
  }

  /** Whether a caller still has its session. Asked for what it follows, which so counts as use: somebody looks at it. */
  holds(caller: Caller, tables: Tables): boolean {
    const session = this.#byCaller.get(caller);
    if (session === undefined || !this.#lives(session, tables)) return false;
    this.#use(session);
    return true;
  }

  /** Removes those that have ended. */
  sweep(tables: Tables): void {
    for (const session of this.#sessions.values()) if (!this.#lives(session, tables)) this.#remove(session);
  }

  /** Removes those of a user. */
  forget(user: string): void {
    for (const session of this.#sessions.values()) if (session.caller.name === user) this.#remove(session);
  }

  #remove({ id, caller }: Session): void {
    this.#sessions.delete(id);
    this.#byCaller.delete(caller);
    this.#kept?.note("session", id, null);
  }

  /** A session by its id, and the other way round: what else outlives this server names it so. */
  callerBy(id: string): Caller | null {
    return this.#sessions.get(id)?.caller ?? null;
  }

  idBy(caller: Caller): string | null {
    return this.#byCaller.get(caller)?.id ?? null;
  }

  #lives({ caller, identity, usedAt }: Session, tables: Tables): boolean {
    const { settings, now, userOf } = this.#options;
    if (hasExpired(caller) || now() - usedAt > settings.idle_timeout * 1000) return false;
    const user = userOf(identity, tables);
    return user !== null && user.role === caller.role && user.team === caller.team;
  }

  #makeRoom(name: string): void {
    const own = [...this.#sessions.values()].filter(({ caller }) => caller.name === name);
    for (const session of own.slice(0, Math.max(0, own.length - MOST_OF_USER + 1))) this.#remove(session);
    for (const session of this.#sessions.values()) {
      if (this.#sessions.size < MOST) break;
      this.#remove(session);
    }
  }

  /** It was used at this moment. */
  #keptOf({ caller: { name, role, team, expiresAt }, identity }: Session): KeptSession {
    return { identity, user: { name, role, team }, expiresAt: expiresAt!, usedAt: this.#wall() };
  }
}

function callerOf(user: Identity, expiresAt: number): Caller {
  return Object.freeze({ ...UNBOUND, ...user, expiresAt, by: "session" });
}

function idOf(secret: string): string {
  return hash("sha256", secret, "base64url");
}
