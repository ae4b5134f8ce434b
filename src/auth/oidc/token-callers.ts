/**
 * Callers that come with a token of the issuer in the place of a key. A token that was found right is remembered until it ends, so that a
 * client that sends it with each request costs a hash and no signature.
 *
 * The name of a user of this server is that user's. A token of a user of the same name is refused; with `link_users` it stands for that
 * user, with all that this server says of it, and the token's claims count for nothing but the name. The name of a user that was removed here
 * stands for nobody: its token would else go on, and have all that the user has left.
 */
import type { Config } from "../../config/config.ts";
import { AltLasError } from "../../errors.ts";
import type { Logger } from "../../log/log.ts";
import { type Caller, hasExpired, type Tables, UNBOUND } from "../tables.ts";
import { type Identity, identityOf } from "./claims.ts";
import { Issuer, type Published } from "./issuer.ts";
import type { Proven } from "./signed-token.ts";

/** Tokens that are remembered. */
const MOST = 10_000;

/** The parts that a caller was made of. */
interface Origin {
  readonly identity: Identity;
  readonly kid: string | undefined;
  /** The issuer's metadata and keys when it was checked. */
  readonly published: Published;
}

export interface TokenCallersOptions {
  readonly config: Config["auth"]["oidc"];
  readonly log: Logger;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
}

export class TokenCallers {
  readonly #config: Config["auth"]["oidc"];
  readonly issuer: Issuer;
  /** By the tokens' hashes, in latin1; the oldest first. */
  readonly #known = new Map<string, Caller>();
  readonly #origins = new WeakMap<Caller, Origin>();

  /** Of users that have one, by the last token of each. */
  readonly #teams = new Map<string, string>();

  constructor({ config, log, now }: TokenCallersOptions) {
    this.#config = config;
    this.issuer = new Issuer({ issuer: config.issuer!, log, now });
  }

  /** Whether it looks like a token. API keys have no points. */
  static isToken(text: string): boolean {
    return /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text);
  }

  /**
   * @param digest the token's SHA-256
   * @returns at once where the token is known
   * @throws {AltLasError} as a rejection: `unauthorized`, `issuer_unavailable`
   */
  find(token: string, digest: Buffer, tables: () => Tables): Caller | Promise<Caller> {
    const id = digest.toString("latin1");
    const known = this.#known.get(id);
    if (known !== undefined && this.holds(known, tables())) return known;
    this.#known.delete(id);
    return this.#prove(token, id, tables);
  }

  async #prove(token: string, id: string, tables: () => Tables): Promise<Caller> {
    const { audience } = this.#config;
    if (audience === undefined) throw new AltLasError("unauthorized", "Tokens are not taken here; send an API key.");
    const { identity, expiresAt, kid } = await this.identify(token, audience);
    const user = this.admitted(identity, tables());
    const caller: Caller = Object.freeze({ ...UNBOUND, ...user, expiresAt, by: "token" });
    this.#origins.set(caller, { identity, kid, published: this.issuer.known! });
    this.#known.set(id, caller);
    if (this.#known.size > MOST) this.#known.delete(this.#known.keys().next().value!);
    return caller;
  }

  /** The user that a token names. @throws {AltLasError} `unauthorized`, `issuer_unavailable` */
  async identify(
    token: string,
    audience: string,
  ): Promise<Pick<Proven, "expiresAt" | "kid"> & { readonly identity: Identity }> {
    const { prove } = await import("./signed-token.ts");
    const { claims, expiresAt, kid } = await prove(token, audience, this.#config, this.issuer);
    return { identity: identityOf(claims, this.#config), expiresAt, kid };
  }

  /** @throws {AltLasError} `unauthorized`: its name is that of somebody else, or of a user that was removed */
  admitted(identity: Identity, tables: Tables): Identity {
    const user = this.userOf(identity, tables);
    if (user === null) throw new AltLasError("unauthorized", whyNobody(identity, tables));
    this.#noteTeam(user);
    return user;
  }

  /** The team that the last token of a user has named, since the start; null: none. */
  teamOf(user: string): string | null {
    return this.#teams.get(user) ?? null;
  }

  #noteTeam({ name, team }: Identity): void {
    this.#teams.delete(name);
    if (team !== null) this.#teams.set(name, team);
    if (this.#teams.size > MOST) this.#teams.delete(this.#teams.keys().next().value!);
  }

  /** Whether its token would make the same caller now. */
  holds(caller: Caller, tables: Tables): boolean {
    const origin = this.#origins.get(caller);
    if (origin === undefined || hasExpired(caller)) return false;
    const { identity, kid, published } = origin;
    const { known } = this.issuer;
    if (known !== published && known?.textOf(kid) !== published.textOf(kid)) return false;
    const user = this.userOf(identity, tables);
    return user !== null && user.role === caller.role && user.team === caller.team;
  }

  /** The user here for an identity; null: it may not be the user of that name. */
  userOf(identity: Identity, { users, removed }: Tables): Identity | null {
    const own = users.get(identity.name)?.caller;
    if (own === undefined) return removed.has(identity.name) ? null : identity;
    return this.#config.link_users ? { name: own.name, role: own.role, team: own.team } : null;
  }
}

function whyNobody({ name }: Identity, { removed }: Tables): string {
  const at = removed.get(name);
  if (at === undefined)
    return `The user ${name} of the token has the name of a user of this server, and auth.oidc.link_users is false.`;
  return `The user ${name} of the token has the name of a user of this server that was removed at ${at}. An admin may add it again, with auth.oidc.link_users.`;
}
