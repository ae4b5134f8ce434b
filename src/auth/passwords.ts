/** Checks passwords without paying scrypt again for each request, and without letting guesses take the machine. */
import { createHmac, randomBytes } from "node:crypto";
import { AltLasError } from "../errors.ts";
import { unmatchableHash, verifyPassword } from "./secrets.ts";

/** Runs at once: the thread pool has four threads, and files need some. */
const MAX_RUNNING = 2;
/** Logins of one user that may be checked or wait for it; all unknown users count as one, so that guesses at names lock out nobody. */
const MAX_OF_USER = 16;
/** Proven logins that are remembered. */
const MAX_REMEMBERED = 1000;
/** What the password of an unknown user is compared with. */
const NOBODY = unmatchableHash();

/** What proves a login: the derived key is kept, never the password. */
export class PasswordChecker {
  /** How often scrypt was really run. */
  runs = 0;
  readonly #verify: typeof verifyPassword;
  readonly #secret = randomBytes(32);
  /** From login to the stored hash it was proven against; the oldest first. */
  readonly #proven = new Map<string, string>();
  readonly #checking = new Map<string, Promise<boolean>>();
  readonly #line: (() => void)[] = [];
  /** Logins being checked or waiting, of each known user, and of all others under "". */
  readonly #pending = new Map<string, number>();
  #running = 0;

  /** @param verify replaced in tests that need to hold it */
  constructor(verify: typeof verifyPassword = verifyPassword) {
    this.#verify = verify;
  }

  /**
   * Whether the password is the one of this user.
   * @param stored the user's hash; undefined: no such user, or one without a password, which takes as long to find out
   * @returns at once when this login was proven before
   * @throws {AltLasError} `rate_limited`: too many logins wait to be checked
   */
  check(user: string, password: string, stored: string | undefined): boolean | Promise<boolean> {
    const login = createHmac("sha256", this.#secret).update(`${user}\0${password}`).digest("base64");
    if (stored !== undefined && this.#proven.get(login) === stored) return true;
    const key = `${login}${stored ?? ""}`;
    const running = this.#checking.get(key);
    if (running !== undefined) return running;
    const whose = stored === undefined ? "" : user;
    const pending = this.#pending.get(whose) ?? 0;
    if (pending >= MAX_OF_USER) {
      throw new AltLasError("rate_limited", "Too many passwords are being checked; try again in 5 seconds.", {
        retryAfter: 5,
      });
    }
    this.#pending.set(whose, pending + 1);
    const check = this.#run(login, password, stored).finally(() => this.#done(key, whose));
    this.#checking.set(key, check);
    return check;
  }

  #done(key: string, whose: string): void {
    this.#checking.delete(key);
    const left = this.#pending.get(whose)! - 1;
    if (left === 0) this.#pending.delete(whose);
    else this.#pending.set(whose, left);
  }

  async #run(login: string, password: string, stored: string | undefined): Promise<boolean> {
    await this.#enter();
    try {
      this.runs++;
      const right = await this.#verify(password, stored ?? NOBODY);
      if (!right || stored === undefined) return false;
      this.#remember(login, stored);
      return true;
    } finally {
      this.#leave();
    }
  }

  #remember(login: string, stored: string): void {
    this.#proven.delete(login);
    this.#proven.set(login, stored);
    const oldest = this.#proven.keys().next().value;
    if (this.#proven.size > MAX_REMEMBERED && oldest !== undefined) this.#proven.delete(oldest);
  }

  /** Forgets the logins that were proven against hashes no longer in force. */
  keepOnly(hashes: ReadonlySet<string | undefined>): void {
    for (const [login, stored] of this.#proven) {
      if (!hashes.has(stored)) this.#proven.delete(login);
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < MAX_RUNNING) this.#running++;
    else await new Promise<void>((resolve) => this.#line.push(resolve));
  }

  /** Hands its place to the next in line, so that nobody can slip in between. */
  #leave(): void {
    const next = this.#line.shift();
    if (next) next();
    else this.#running--;
  }
}
