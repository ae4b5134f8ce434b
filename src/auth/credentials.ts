/** Identifies the caller: turns an Authorization header into a user with a role. */
import { hash } from "node:crypto";
import { type Audit, NO_AUDIT } from "../audit/audit-log.ts";
import { isoTime } from "../common/clock.ts";
import type { Config } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { Accounts, AccountStore, AccountsView } from "../store/accounts.ts";
import { type AccountsContext, storeIn } from "./accounts.ts";
import { nameOf, unknownAnonymous } from "./anonymous.ts";
import { type Login, loginsIn } from "./basic.ts";
import { FileView } from "./file-view.ts";
import type { Kept } from "./kept.ts";
import { KeyUse } from "./key-use.ts";
import { SignOn } from "./oidc/sign-on.ts";
import { TokenCallers } from "./oidc/token-callers.ts";
import { PasswordChecker } from "./passwords.ts";
import { ProvenKeys } from "./proven-keys.ts";
import { SignIns } from "./sign-ins.ts";
import { RefusalLog } from "./refusal-log.ts";
import { type Caller, hasExpired, proofOf, Tables, UNBOUND } from "./tables.ts";

export { type Caller, UNBOUND } from "./tables.ts";

const ANONYMOUS: Caller = Object.freeze({ ...UNBOUND, name: "anonymous", role: "admin" });

/** Milliseconds to wait for a command that changes the file: all requests and streams wait meanwhile. */
const PATIENCE = 100;
/** Milliseconds between two looks for sign-ins that have ended. */
const SWEEPS = 60_000;

const HOW = 'Send "Authorization: Bearer <api_key>" or "x-api-key: <api_key>", or HTTP Basic with user and password.';

/** A caller as text, which lets nobody in. */
export interface NamedCaller {
  readonly name: string;
  /** As `proofOf` says it, or the id of its session. */
  readonly proof: string;
  readonly by?: "session" | undefined;
}

export interface CredentialsOptions {
  readonly config: Config["auth"];
  /** Where credentials.json is. */
  readonly dataDir: string;
  /** Absent: that file. */
  readonly accounts?: AccountStore & AccountsView;
  /** Ends what they need. */
  readonly close?: () => void;
  readonly log: Logger;
  /** Is told who signs in, and what is refused; absent: nobody is. */
  readonly audit?: Audit;
  readonly passwords?: PasswordChecker;
  /** Milliseconds of a clock that only goes forward; for tests. */
  readonly now?: () => number;
}

export class Credentials {
  readonly #config: Config["auth"];
  readonly #dataDir: string;
  /** For changes of users and keys. */
  readonly accounts: AccountsContext;
  readonly #log: Logger;
  readonly #passwords: PasswordChecker;
  readonly #refusals: RefusalLog;
  readonly #proven = new ProvenKeys();
  /** The callers that have proven themselves, and from where. */
  readonly signIns: SignIns;
  /** When each key was used last. */
  readonly keyUse: KeyUse;
  /** Null: no issuer is configured. */
  readonly signOn: SignOn | null;
  readonly #view: AccountsView;
  /** Ends what the place of users and keys needs; not before the last write of what `watch` began. */
  readonly close: () => void;
  #tables: Tables;
  /** The accounts that `#tables` are of. */
  #accounts: Accounts;
  readonly #now: () => number;
  readonly #listeners = new Set<(forgotten?: string) => void>();

  /** @throws {AltLasError} `bad_config`: credentials.json is damaged, a password hash cannot be used, or there is no `anonymous_user` */
  constructor({
    config,
    dataDir,
    log,
    audit = NO_AUDIT,
    now = () => performance.now(),
    ...options
  }: CredentialsOptions) {
    this.#config = config;
    this.#dataDir = dataDir;
    this.#log = log;
    this.#now = now;
    this.accounts = { config, dataDir, accounts: options.accounts, patience: PATIENCE };
    this.close = options.close ?? (() => undefined);
    this.#view = options.accounts ?? new FileView(dataDir, log, now);
    const isKnown = (sha256: string): boolean => this.#view.trouble !== null || this.#tables.hasKey(sha256);
    this.keyUse = new KeyUse(storeIn(this.accounts), isKnown, log);
    this.#refusals = new RefusalLog(log, audit, now);
    this.signIns = new SignIns(audit, now);
    this.signOn = config.oidc.issuer === undefined || !config.enabled ? null : this.#singleSignOn(log);
    this.onChange(() => this.signOn?.sweep());
    this.#passwords = options.passwords ?? new PasswordChecker(undefined, now);
    this.#passwords.onRefused = ({ address, user }, failed) =>
      this.#refusals.password(address, this.#tables.users.has(user) ? user : null, failed);
    this.#accounts = this.#view.current;
    this.#tables = new Tables(config, this.#accounts, dataDir);
    if (config.enabled && config.anonymous_user !== undefined && this.anonymous === null)
      throw new AltLasError("bad_config", unknownAnonymous(config.anonymous_user, dataDir));
    for (const warning of this.#tables.warnings) log.warn(warning);
  }

  /** The user of requests from this machine that have no credentials; null: they are refused. */
  get anonymous(): Caller | null {
    const name = this.#config.anonymous_user;
    if (name === undefined) return null;
    this.#refresh();
    return this.#tables.users.get(nameOf(name))?.caller ?? null;
  }

  /** How many users there are; one where authentication is off. As of the last request: it looks at no file. */
  get userCount(): number {
    if (!this.#config.enabled) return 1;
    // An issuer knows users of whom nothing is known here.
    return this.#tables.users.size + (this.signOn === null ? 0 : 2);
  }

  /** The team that a user is in; null: none. As of the last request: it looks at no file. */
  teamOf(user: string): string | null {
    const known = this.#tables.users.get(user);
    return known === undefined ? (this.signOn?.tokens.teamOf(user) ?? null) : known.caller.team;
  }

  /** Takes over the sign-ins of the server before, and keeps them for the next one. */
  keep(kept: Kept): void {
    if (this.signOn !== null) return this.signOn.keep(kept);
    for (const id of kept.left("session").keys()) kept.note("session", id, null);
  }

  /** Ends the sign-ins of a user, and what it has opened by them or by tickets. */
  forget(user: string): void {
    this.signOn?.forget(user);
    for (const listener of this.#listeners) listener(user);
  }

  /** A caller as the next server finds it; null: it is known to this one alone, by a token of the issuer. */
  namedFor(caller: Caller): NamedCaller | null {
    const proof = caller.by === "session" ? this.signOn!.sessionOf(caller) : proofOf(caller);
    return proof === null || caller.by === "token" ? null : { name: caller.name, proof, by: caller.by };
  }

  /** The caller that another server has named; null: it would not be let in now. */
  callerNamed({ name, proof, by }: NamedCaller): Caller | null {
    this.#refresh();
    return by === undefined ? this.#tables.callerBy(name, proof) : (this.signOn?.callerOf(proof) ?? null);
  }

  /** Whether a caller that was let in before would be let in now, by the same key or password and with the same role. */
  holds(caller: Caller): boolean {
    if (!this.#config.enabled) return true;
    this.#refresh();
    return this.signOn?.has(caller) ? this.signOn.holds(caller) : this.#tables.holds(caller);
  }

  /** Calls `listener` when users or keys may have changed, or with a user who is forgotten, until what is returned is called. */
  onChange(listener: (forgotten?: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Why somebody who could call may not be able to now, as a sentence; null: nothing is wrong. `isShut`: nobody can call. */
  get trouble(): { readonly sentence: string; readonly isShut: boolean } | null {
    const trouble = this.#config.enabled ? this.#view.trouble : null;
    if (trouble === null) return null;
    if (trouble.isKnown) return { sentence: `${trouble.what}: those known before stay in force.`, isShut: false };
    const isShut = !this.#tables.hasCredentials && this.signOn === null;
    const others = this.signOn === null ? "" : " and of the issuer";
    const rest = isShut ? "nobody can call" : `only the users of the configuration${others} can call`;
    return { sentence: `${trouble.what}: ${rest}.`, isShut };
  }

  #singleSignOn(log: Logger): SignOn {
    return new SignOn({
      config: this.#config.oidc,
      log,
      now: this.#now,
      tables: () => this.#tables,
      onEnd: () => this.#listeners.forEach((listener) => void setImmediate(listener)),
    });
  }

  /**
   * The caller whose browser has this secret of a sign-in.
   * @throws {AltLasError} `unauthorized`: it has ended
   */
  bySession(secret: string): Caller {
    this.#refresh();
    const caller = this.signOn?.bySession(secret) ?? null;
    if (caller === null) throw new AltLasError("unauthorized", "The sign-in of this browser has ended. Sign in again.");
    return caller;
  }

  /** Tells of a caller whom the issuer names, or of the refusal. @throws {AltLasError} that of a failure */
  async signedIn<T>(arriving: Promise<T>, callerIn: (arrived: T) => Caller, address: string): Promise<T> {
    try {
      const arrived = await arriving;
      this.signIns.note(callerIn(arrived), address);
      return arrived;
    } catch (error) {
      if (error instanceof AltLasError && error.code === "unauthorized") this.#refusals.token(address);
      throw error;
    }
  }

  /** Hears of changes from now on also while nobody calls, and writes down when keys are used. @returns what ends that */
  watch(): () => Promise<void> {
    if (!this.#config.enabled) return async () => {};
    const endUse = this.keyUse.start();
    const endWatch = this.#view.watch(() => this.#refresh());
    const sweeps = setInterval(() => this.signOn?.sweep(), SWEEPS).unref();
    return () => {
      clearInterval(sweeps);
      endWatch();
      return endUse();
    };
  }

  /**
   * The user who sent this `Authorization` header. With `auth.enabled: false` everybody is the admin `anonymous`.
   * @param from says the address that it comes from; asked only where that matters
   * @param connection the one it came on, of which a key is remembered; null: none
   * @returns at once, except for a password that has to be checked first
   * @throws {AltLasError} `unauthorized`, or `rate_limited` when too many passwords wait to be checked; also as a rejection
   */
  authenticate(
    header: string | undefined,
    from: () => string = () => "",
    connection: object | null = null,
  ): Caller | Promise<Caller> {
    if (!this.#config.enabled) return ANONYMOUS;
    if (header === undefined) throw new AltLasError("unauthorized", `This needs credentials. ${HOW}`);
    this.#refresh();
    const proven = connection === null ? undefined : this.#proven.find(connection, header, this.#tables);
    if (proven !== undefined) return this.#admitted(proven, from);
    const [, scheme = "", rest = ""] = /^(\S+)(?:[ \t]+(.*))?$/s.exec(header) ?? [];
    switch (scheme.toLowerCase()) {
      case "bearer": {
        const caller = this.#byKey(rest.trim(), from);
        if (caller instanceof Promise) return caller;
        this.signIns.note(caller, from());
        if (connection !== null && caller.by === undefined)
          this.#proven.note(connection, { header, tables: this.#tables, caller });
        return caller;
      }
      case "basic":
        return this.#byPassword(rest.trim(), from());
      default:
        throw new AltLasError("unauthorized", `The Authorization header cannot be understood. ${HOW}`);
    }
  }

  #byKey(key: string, from: () => string): Caller | Promise<Caller> {
    if (key === "") throw new AltLasError("unauthorized", "The API key is empty.");
    const digest = hash("sha256", key, "buffer");
    const caller = this.#tables.ownerOf(digest);
    if (caller !== undefined) return this.#admitted(caller, from);
    if (this.signOn !== null && TokenCallers.isToken(key)) {
      const found = this.signOn.tokens.find(key, digest, () => this.#tables);
      if (!(found instanceof Promise)) return found;
      return this.signedIn(found, (one) => one, from());
    }
    this.#refusals.key(from());
    throw this.#refusal("The API key is unknown or was revoked.");
  }

  /** Only who has the key itself is told that it has ended. @throws {AltLasError} `unauthorized` */
  #admitted(caller: Caller, from: () => string): Caller {
    if (!hasExpired(caller)) {
      this.keyUse.note(caller);
      return caller;
    }
    this.#refusals.expired(from(), caller.name);
    const end = isoTime(caller.expiresAt!);
    const sentence = `The API key ${caller.keyName} of ${caller.name} expired at ${end}. Ask an admin for another one.`;
    throw new AltLasError("unauthorized", sentence);
  }

  #byPassword(encoded: string, address: string): Caller | Promise<Caller> {
    const logins = loginsIn(encoded);
    // Where the bytes can be read in two ways, a user that exists is what was meant.
    const [first = logins[0], second] = logins.filter(({ user }) => this.#tables.users.has(user));
    if (first === undefined)
      throw new AltLasError("unauthorized", `The Basic credentials cannot be understood. ${HOW}`);
    if (second === undefined) return this.#byLogin(first, address);
    return (async () => this.#byLogin(first, address))().catch(() => this.#byLogin(second, address));
  }

  #byLogin({ user: name, password }: Login, address: string): Caller | Promise<Caller> {
    const user = this.#tables.users.get(name);
    const right = this.#passwords.check({ user: name, password, stored: user?.passwordHash, address });
    if (right === true && user !== undefined) {
      this.signIns.note(user.caller, address);
      return user.caller;
    }
    return Promise.resolve(right).then((proven) => {
      // While scrypt ran, the user may have been removed or given another password.
      const now = this.#tables.users.get(name);
      if (proven && now !== undefined && now.passwordHash === user?.passwordHash) {
        this.signIns.note(now.caller, address);
        return now.caller;
      }
      throw this.#refusal("The user name or the password is wrong.");
    });
  }

  /** Of what nobody can tell at the moment, nobody is told that it is wrong: a client would throw a good key away. */
  #refusal(sentence: string): AltLasError {
    const { trouble } = this.#view;
    if (trouble?.isInDoubt !== true) return new AltLasError("unauthorized", sentence);
    return new AltLasError("store_unavailable", `${trouble.what}. Try again.`);
  }

  /** Takes over what has changed; it costs a comparison where nothing has. */
  #refresh(): void {
    const accounts = this.#view.look();
    if (accounts === this.#accounts) return;
    this.#accounts = accounts;
    const tables = new Tables(this.#config, accounts, this.#dataDir);
    this.#tables = tables;
    for (const listener of this.#listeners) setImmediate(listener);
    this.#passwords.keepOnly(new Set(tables.users.values().map((user) => user.passwordHash)));
    for (const warning of tables.warnings) this.#log.warn(warning);
    // Without users nobody can call any more, which is hardly what was meant.
    const isEmpty = tables.users.size === 0 && this.#view.trouble === null;
    this.#log[isEmpty ? "warn" : "debug"]({ users: tables.users.size }, "credentials read again");
  }
}
