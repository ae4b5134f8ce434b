/** Single sign-on: callers who come with a token of the issuer, and those who have signed in with a browser. */
import type { Config } from "../../config/config.ts";
import { AltLasError } from "../../errors.ts";
import type { Logger } from "../../log/log.ts";
import type { Kept } from "../kept.ts";
import type { Caller, Tables } from "../tables.ts";
import type { Departure, Return } from "./code-flow.ts";
import { Sessions } from "./sessions.ts";
import { TokenCallers } from "./token-callers.ts";

/** Sign-ins that ask the issuer at once; whoever comes with made-up codes must not have us flood it. */
const AT_ONCE = 16;

export interface SignOnOptions {
  readonly config: Config["auth"]["oidc"];
  readonly log: Logger;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  readonly tables: () => Tables;
  /** Is called when a session was ended by its user. */
  readonly onEnd: () => void;
}

export class SignOn {
  readonly #options: SignOnOptions;
  readonly tokens: TokenCallers;
  readonly #sessions: Sessions;
  #underWay = 0;

  constructor(options: SignOnOptions) {
    this.#options = options;
    const { config, now } = options;
    this.tokens = new TokenCallers(options);
    const userOf = this.tokens.userOf.bind(this.tokens);
    this.#sessions = new Sessions({ settings: config.session, now, userOf });
  }

  /** The dashboard's name for the issuer; null: nobody signs in there. */
  get name(): string | null {
    const { client_id: client, name } = this.#options.config;
    return client === undefined ? null : name;
  }

  /** Whether a caller came by one of both ways. */
  has({ by }: Caller): boolean {
    return by !== undefined;
  }

  /** Whether a caller of one of both ways would be let in now, and would be the same. */
  holds(caller: Caller): boolean {
    const tables = this.#options.tables();
    return caller.by === "session" ? this.#sessions.holds(caller, tables) : this.tokens.holds(caller, tables);
  }

  /** @param back where the issuer sends the browser back to @throws {AltLasError} `issuer_unavailable` */
  async depart(back: string): Promise<Departure> {
    const { departure } = await import("./code-flow.ts");
    return departure(this.#flow, back);
  }

  /** @throws {AltLasError} `unauthorized`, `issuer_unavailable`, `rate_limited` */
  async arrive(given: Return): Promise<{ readonly secret: string; readonly caller: Caller }> {
    const { config, tables } = this.#options;
    if (this.#underWay >= AT_ONCE)
      throw new AltLasError("rate_limited", `${AT_ONCE} sign-ins are under way; try again in a moment.`);
    this.#underWay++;
    try {
      const { arrival } = await import("./code-flow.ts");
      const token = await arrival(this.#flow, given);
      const { identity } = await this.tokens.identify(token, config.client_id!);
      const begun = this.#sessions.begin(identity, this.tokens.admitted(identity, tables()));
      await this.#sessions.stored(begun.secret);
      return begun;
    } finally {
      this.#underWay--;
    }
  }

  /** The caller whose session it is; null: there is none any more. */
  bySession(secret: string): Caller | null {
    return this.#sessions.find(secret, this.#options.tables());
  }

  /** @throws {AltLasError} `store_unavailable` */
  async end(secret: string): Promise<void> {
    if (this.#sessions.end(secret)) this.#options.onEnd();
    await this.#sessions.stored(secret);
  }

  /** Takes over the sessions of the server before. */
  keep(kept: Kept): void {
    this.#sessions.keep(kept, this.#options.tables());
  }

  /** Removes sessions that have ended. */
  sweep(): void {
    this.#sessions.sweep(this.#options.tables());
  }

  /** Ends the sessions of a user. */
  forget(user: string): void {
    this.#sessions.forget(user);
  }

  /** How a caller is named to the next server; null: it has no session. */
  sessionOf(caller: Caller): string | null {
    return this.#sessions.idBy(caller);
  }

  /** The caller that was named so. */
  callerOf(session: string): Caller | null {
    return this.#sessions.callerBy(session);
  }

  get #flow() {
    const { config, log } = this.#options;
    return { config, log, issuer: this.tokens.issuer };
  }
}
