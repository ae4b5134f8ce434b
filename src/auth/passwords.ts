/** Checks passwords without paying scrypt again for each request, and without letting guesses take the machine. */
import { createHmac, randomBytes } from "node:crypto";
import { AltLasError } from "../errors.ts";
import { Failures, shortened } from "./failures.ts";
import { type Comer, FairLine } from "./fair-line.ts";
import { networksOf } from "./networks.ts";
import { unmatchableHash, verifyPassword } from "./secrets.ts";

/** `room`: runs at once, as the thread pool has four threads, and files need some. */
const LIMITS = { room: 2, ofAddress: 16, ofSite: 64, inAll: 512 };
/** Seconds after which to try again where that many wait. */
const FULL_PAUSE = 5;
/** Proven logins that are remembered, and addresses that proved one. */
const MAX_REMEMBERED = 1000;
/** Stands in for the hash of an unknown user, so that such a login takes as long. */
const NOBODY = unmatchableHash();

export interface Attempt {
  readonly user: string;
  readonly password: string;
  /** The user's hash; undefined: no such user, or one without a password, which takes as long to find out. */
  readonly stored: string | undefined;
  /** Where it comes from. */
  readonly address: string;
}

/** Proves a login: the derived key is kept, never the password. */
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
  /** Which addresses proved a login of which user; the oldest first. */
  readonly #known = new Map<string, true>();
  readonly #line = new FairLine({ ...LIMITS, refusal: tooMany });

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
    const comer = this.#comerOf(attempt);
    const check = this.#line.run(comer, () => this.#run(login, attempt)).finally(() => this.#checking.delete(key));
    this.#checking.set(key, check);
    return check;
  }

  /** An address that proved a login of this user goes first, whatever else it did. */
  #comerOf({ user, address }: Attempt): Comer {
    const name = shortened(user);
    const rank = this.#known.has(`${name} ${address}`) ? 0 : 1 + this.#failures.suspicion(address);
    return { rank, ...networksOf(address), address, name };
  }

  #refuseHaste(address: string, user: string): void {
    const pause = Math.ceil(this.#failures.pause(address, user) / 1000);
    if (pause === 0) return;
    const sentence = `Too many wrong passwords came from this address; try again in ${pause} ${pause === 1 ? "second" : "seconds"}.`;
    throw new AltLasError("rate_limited", sentence, { retryAfter: pause });
  }

  async #run(login: string, attempt: Attempt): Promise<boolean> {
    const { user, password, stored, address } = attempt;
    // Those that waited behind wrong ones of their own pause like those that come now.
    this.#refuseHaste(address, user);
    this.runs++;
    if ((await this.#verify(password, stored ?? NOBODY)) && stored !== undefined) {
      this.#failures.succeeded(address, user);
      remember(this.#proven, login, stored);
      remember(this.#known, `${shortened(user)} ${address}`, true);
      return true;
    }
    this.onRefused(attempt, this.#failures.failed(address, user));
    return false;
  }

  /** Forgets the logins that were proven against hashes no longer in force. */
  keepOnly(hashes: ReadonlySet<string | undefined>): void {
    for (const [login, stored] of this.#proven) {
      if (!hashes.has(stored)) this.#proven.delete(login);
    }
  }
}

function remember<T>(memory: Map<string, T>, key: string, value: T): void {
  memory.delete(key);
  memory.set(key, value);
  const oldest = memory.keys().next().value;
  if (memory.size > MAX_REMEMBERED && oldest !== undefined) memory.delete(oldest);
}

function tooMany(): AltLasError {
  const sentence = `Too many passwords are being checked; try again in ${FULL_PAUSE} seconds.`;
  return new AltLasError("rate_limited", sentence, { retryAfter: FULL_PAUSE });
}
