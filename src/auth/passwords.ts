/** Checks passwords without paying scrypt again for each request, and without letting guesses take the machine. */
import { createHmac, randomBytes } from "node:crypto";
import { AltLasError } from "../errors.ts";
import { Failures } from "./failures.ts";
import { FairLine } from "./fair-line.ts";
import { unmatchableHash, verifyPassword } from "./secrets.ts";

/** `room`: runs at once, as the thread pool has four threads, and files need some. The lanes are addresses. */
const LIMITS = { room: 2, ofLane: 16, inAll: 512 };
/** Seconds after which to try again where that many wait. */
const FULL_PAUSE = 5;
/** Proven logins that are remembered. */
const MAX_REMEMBERED = 1000;
/** What the password of an unknown user is compared with. */
const NOBODY = unmatchableHash();

export interface Attempt {
  readonly user: string;
  readonly password: string;
  /** The user's hash; undefined: no such user, or one without a password, which takes as long to find out. */
  readonly stored: string | undefined;
  /** Where it comes from. */
  readonly address: string;
}

/** What proves a login: the derived key is kept, never the password. */
export class PasswordChecker {
  /** How often scrypt was really run. */
  runs = 0;
  /** Told of each wrong password, with how often that address has failed for that user. */
  onRefused: (attempt: Attempt, failed: number) => void = () => {};
  readonly #verify: typeof verifyPassword;
  readonly #failures: Failures;
  readonly #secret = randomBytes(32);
  /** From login to the stored hash it was proven against; the oldest first. */
  readonly #proven = new Map<string, string>();
  readonly #checking = new Map<string, Promise<boolean>>();
  readonly #line = new FairLine(LIMITS);

  /** @param verify replaced in tests that need to hold it @param now milliseconds of a clock that only goes forward */
  constructor(verify: typeof verifyPassword = verifyPassword, now: () => number = () => performance.now()) {
    this.#verify = verify;
    this.#failures = new Failures(now);
  }

  /**
   * Whether the password is the one of this user.
   * @returns at once when this login was proven before, however often others have failed
   * @throws {AltLasError} `rate_limited`: this address has to pause, or too many logins wait to be checked
   */
  check(attempt: Attempt): boolean | Promise<boolean> {
    const { user, password, stored, address } = attempt;
    const login = createHmac("sha256", this.#secret).update(`${user}\0${password}`).digest("base64");
    if (stored !== undefined && this.#proven.get(login) === stored) return true;
    this.#refuseHaste(address, user);
    const key = `${login}${stored ?? ""} ${address}`;
    const running = this.#checking.get(key);
    if (running !== undefined) return running;
    if (!this.#line.hasRoomFor(address)) {
      const sentence = `Too many passwords are being checked; try again in ${FULL_PAUSE} seconds.`;
      throw new AltLasError("rate_limited", sentence, { retryAfter: FULL_PAUSE });
    }
    const check = this.#line.run(address, () => this.#run(login, attempt)).finally(() => this.#checking.delete(key));
    this.#checking.set(key, check);
    return check;
  }

  #refuseHaste(address: string, user: string): void {
    const pause = Math.ceil(this.#failures.pause(address, user) / 1000);
    if (pause === 0) return;
    const sentence = `Too many wrong passwords came from this address; try again in ${pause} seconds.`;
    throw new AltLasError("rate_limited", sentence, { retryAfter: pause });
  }

  async #run(login: string, attempt: Attempt): Promise<boolean> {
    const { user, password, stored, address } = attempt;
    // Those that waited behind wrong ones of their own pause like those that come now.
    this.#refuseHaste(address, user);
    this.runs++;
    if ((await this.#verify(password, stored ?? NOBODY)) && stored !== undefined) {
      this.#failures.succeeded(address, user);
      this.#remember(login, stored);
      return true;
    }
    this.onRefused(attempt, this.#failures.failed(address, user));
    return false;
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
}
