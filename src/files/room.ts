/** How many files are stored, and how many bytes they have: those of each user, and all; also those that are being uploaded, as they come. */
import { AltLasError } from "../errors.ts";
import { atLeast, shownSize } from "../common/sizes.ts";
import type { CallerLimit } from "../config/caller-limits.ts";
import type { FileTotal } from "../store/files.ts";

export interface RoomLimits {
  /** Bytes in all. */
  readonly inAll: number;
  /** Bytes of this user, and how they are limited, in words. */
  readonly ofUser: { readonly most: number; readonly why: string };
  /** Its files; null: any number. */
  readonly files: CallerLimit | null;
}

/** The bytes of one file that is on its way. */
export interface RoomHolding {
  /** @throws {AltLasError} `rate_limited`: its user would have too many; `files_full`: there would be too many in all. Nothing is taken then */
  take(bytes: number): void;
  /** The file is stored: its bytes count until `FileRoom.give`. */
  keep(): void;
  /** Gives back what was not kept. Calling it again is harmless. */
  release(): void;
}

/** Bytes, and files. */
interface Taken {
  readonly bytes: number;
  readonly files: number;
}

const NOTHING: Taken = { bytes: 0, files: 0 };

export class FileRoom {
  readonly #limits: (user: string) => RoomLimits;
  readonly #users = new Map<string, Taken>();
  #all = 0;

  /** @param limits as they hold now */
  constructor(limits: (user: string) => RoomLimits) {
    this.#limits = limits;
  }

  /** Counts what is stored. */
  add(totals: readonly FileTotal[]): void {
    for (const { user, bytes, files } of totals) this.#change(user, bytes, files);
  }

  /** A stored file is gone. */
  give(user: string, bytes: number): void {
    this.#change(user, -bytes, -1);
  }

  /** The bytes and files that one user has now. */
  of(user: string): Taken {
    return this.#users.get(user) ?? NOTHING;
  }

  /** @throws {AltLasError} as `RoomHolding.take` */
  refuseIfFull(user: string, bytes: number): void {
    const { inAll, ofUser } = this.#limits(user);
    const own = this.of(user).bytes;
    if (own + bytes > ofUser.most) {
      const sentence = `The files of ${user} have ${shownSize(own)}, and ${atLeast(bytes)} more would be over the ${shownSize(ofUser.most)} ${ofUser.why}. Delete some, or wait until they expire.`;
      throw new AltLasError("rate_limited", sentence, { retryAfter: RETRY_AFTER });
    }
    if (this.#all + bytes > inAll) {
      const sentence = `All files have ${shownSize(this.#all)}, and ${atLeast(bytes)} more would be over the ${shownSize(inAll)} of limits.max_stored_file_bytes. Delete some, or wait until they expire.`;
      throw new AltLasError("files_full", sentence, { retryAfter: RETRY_AFTER });
    }
  }

  /** Room for one more file. @throws {AltLasError} `rate_limited`: its user has too many */
  hold(user: string): RoomHolding {
    const { files: limit } = this.#limits(user);
    const { files } = this.of(user);
    if (limit !== null && files >= limit.most) {
      const sentence = `${user} has ${files} files, and may have ${limit.most} (${limit.setIn}). Delete some, or wait until they expire.`;
      throw new AltLasError("rate_limited", sentence, { retryAfter: RETRY_AFTER });
    }
    let held = 0;
    let one = 1;
    this.#change(user, 0, one);
    return {
      take: (bytes) => {
        this.refuseIfFull(user, bytes);
        held += bytes;
        this.#change(user, bytes, 0);
      },
      keep: () => {
        held = 0;
        one = 0;
      },
      release: () => {
        this.#change(user, -held, -one);
        held = 0;
        one = 0;
      },
    };
  }

  #change(user: string, bytes: number, files: number): void {
    const before = this.of(user);
    const now = { bytes: before.bytes + bytes, files: before.files + files };
    if (now.bytes === 0 && now.files === 0) this.#users.delete(user);
    else this.#users.set(user, now);
    this.#all += bytes;
  }
}

/** Seconds: files go by hand or by age, so soon after is of no use. */
const RETRY_AFTER = 300;
