/** How many bytes the stored files have: those of each user, and all; also those that are being uploaded, as they come. */
import { AltLasError } from "../errors.ts";
import { atLeast, shownSize } from "../common/sizes.ts";
import type { FileTotal } from "../store/files.ts";

export interface RoomLimits {
  /** Bytes in all. */
  readonly inAll: number;
  /** Bytes of one user. */
  readonly ofUser: number;
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

export class FileRoom {
  readonly #limits: () => RoomLimits;
  readonly #users = new Map<string, number>();
  #all = 0;

  /** @param limits as they hold now */
  constructor(limits: () => RoomLimits) {
    this.#limits = limits;
  }

  /** Counts what is stored. */
  add(totals: readonly FileTotal[]): void {
    for (const { user, bytes } of totals) this.#change(user, bytes);
  }

  /** A stored file is gone. */
  give(user: string, bytes: number): void {
    this.#change(user, -bytes);
  }

  /** Bytes that one user has now. */
  of(user: string): number {
    return this.#users.get(user) ?? 0;
  }

  /** @throws {AltLasError} as `RoomHolding.take` */
  refuseIfFull(user: string, bytes: number): void {
    const { inAll, ofUser } = this.#limits();
    const own = this.of(user);
    if (own + bytes > ofUser) {
      const sentence = `The files of ${user} have ${shownSize(own)}, and ${atLeast(bytes)} more would be over the ${shownSize(ofUser)} that limits.max_stored_file_bytes leaves one user. Delete some, or wait until they expire.`;
      throw new AltLasError("rate_limited", sentence, { retryAfter: RETRY_AFTER });
    }
    if (this.#all + bytes > inAll) {
      const sentence = `All files have ${shownSize(this.#all)}, and ${atLeast(bytes)} more would be over the ${shownSize(inAll)} of limits.max_stored_file_bytes. Delete some, or wait until they expire.`;
      throw new AltLasError("files_full", sentence, { retryAfter: RETRY_AFTER });
    }
  }

  hold(user: string): RoomHolding {
    let held = 0;
    return {
      take: (bytes) => {
        this.refuseIfFull(user, bytes);
        held += bytes;
        this.#change(user, bytes);
      },
      keep: () => {
        held = 0;
      },
      release: () => {
        this.#change(user, -held);
        held = 0;
      },
    };
  }

  #change(user: string, bytes: number): void {
    const now = this.of(user) + bytes;
    if (now === 0) this.#users.delete(user);
    else this.#users.set(user, now);
    this.#all += bytes;
  }
}

/** Seconds: files go by hand or by age, so soon after is of no use. */
const RETRY_AFTER = 300;
