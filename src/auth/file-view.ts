/** The content of `credentials.json`, as a server knows it without waiting for its disk. */
import { statSync } from "node:fs";
import { ABSENT, FileWatch, versionOf, versionOfError } from "../common/file-watch.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { Accounts, AccountsTrouble, AccountsView } from "../store/accounts.ts";
import { tellOperators } from "../topics.ts";
import { credentialsPath, keepCredentialsPrivate, readCredentials } from "./file.ts";

/** How long to leave a file alone that could not be read. */
const RETRY_MS = 1000;

/** Between two lines about a disk that hangs. */
const TELL_MS = 60_000;

export class FileView implements AccountsView {
  readonly #dataDir: string;
  readonly #path: string;
  readonly #log: Logger;
  /** Milliseconds of a clock that only goes forward. */
  readonly #now: () => number;
  #accounts: Accounts;
  /** The version of the file that `#accounts` are from. */
  #seen: string;
  /** Whether the file was looked at in this turn of the event loop. */
  #looked = false;
  /** The version that could not be read, and when (in ms of the monotonic clock) to try it again. */
  #failed = { version: "", retryAt: 0 };
  /** Whether the file was there, and is not any more. */
  #isGone = false;
  #diskHangs = false;
  /** When it was told last that the disk hangs (ms of the monotonic clock), and whether that was its last hang. */
  #hangTold = { at: -Infinity, isLast: false };

  /** @throws {AltLasError} `bad_config`: the file is damaged */
  constructor(dataDir: string, log: Logger, now: () => number) {
    this.#dataDir = dataDir;
    this.#path = credentialsPath(dataDir);
    this.#log = log;
    this.#now = now;
    keepCredentialsPrivate(dataDir);
    this.#seen = versionNow(this.#path);
    this.#accounts = readCredentials(dataDir);
  }

  get current(): Accounts {
    return this.#accounts;
  }

  get trouble(): AccountsTrouble | null {
    if (!this.#isGone) return null;
    return { what: "The file of users and keys is gone", isKnown: false, isInDoubt: false };
  }

  watch(changed: () => void): () => void {
    const watch = new FileWatch(this.#path, {
      seen: () => {
        this.#reloadIfChanged();
        changed();
      },
      hangs: (doesHang) => this.#onDisk(doesHang),
    });
    return () => watch.stop();
  }

  /**
   * The file's times are read once for all requests of a turn of the event loop, because reading them takes a tenth of a submission's time.
   * A revoked key is refused from the very next request on all the same: the requests of a turn had come before the read.
   */
  look(): Accounts {
    if (this.#looked || this.#diskHangs) return this.#accounts;
    this.#looked = true;
    setImmediate(() => (this.#looked = false));
    this.#reloadIfChanged();
    return this.#accounts;
  }

  /** With its disk hanging, a look would stop the whole server. */
  #onDisk(doesHang: boolean): void {
    this.#diskHangs = doesHang;
    const { at, isLast } = this.#hangTold;
    if (doesHang) {
      const isNews = this.#now() - at >= TELL_MS;
      this.#hangTold = { at: isNews ? this.#now() : at, isLast: isNews };
      if (!isNews) return;
    } else if (!isLast) return;
    const what = doesHang ? "does not answer: the credentials known before stay in force" : "answers again";
    const sentence = `The disk of ${this.#path} ${what}.`;
    this.#log.warn(sentence);
    tellOperators({ kind: "auth", event: doesHang ? "hangs" : "answers", sentence });
  }

  /** Takes over a changed file; a damaged one is reported once, and what was known before stays in force. */
  #reloadIfChanged(): void {
    const version = versionNow(this.#path);
    if (version === this.#seen) return;
    if (version === this.#failed.version && performance.now() < this.#failed.retryAt) return;
    try {
      this.#accounts = readCredentials(this.#dataDir);
      this.#seen = version;
      const wasWrong = this.#isGone || this.#failed.version !== "";
      this.#isGone = version === ABSENT;
      this.#failed = { version: "", retryAt: 0 };
      if (this.#isGone) {
        const sentence = `${this.#path} is gone, and with it its users and keys. Put a copy back.`;
        this.#log.warn(sentence);
        tellOperators({ kind: "auth", event: "gone", sentence });
      } else if (wasWrong)
        tellOperators({ kind: "auth", event: "read", sentence: "The users and keys were read again." });
    } catch (error) {
      if (version !== this.#failed.version) {
        const sentence = `The credentials known before stay in force: ${messageOf(error)}`;
        this.#log.error(sentence);
        tellOperators({ kind: "auth", event: "damaged", sentence });
      }
      this.#failed = { version, retryAt: performance.now() + RETRY_MS };
    }
  }
}

function versionNow(path: string): string {
  try {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats === undefined ? ABSENT : versionOf(stats);
  } catch (error) {
    return versionOfError(error);
  }
}
