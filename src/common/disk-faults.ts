/** Faults of a disk that takes no more, in words. */
import { shownSize } from "./sizes.ts";
import { AltLasError, messageOf } from "../errors.ts";

/** @param what needs the room, as a sentence about it begins */
export function noRoom(what: string, needed: number, free: number, folder: string): AltLasError {
  const sentence = `${what} needs ${shownSize(needed)} of disk; ${shownSize(free)} are free in ${folder}.`;
  return new AltLasError("model_fetch_failed", sentence);
}

/** null: it is not the disk's. */
export function diskFault(error: unknown, folder: string): AltLasError | null {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined || error instanceof AltLasError) return null;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const sentence = full
    ? `The disk of ${folder} is full. What came so far is kept; the next try goes on from there.`
    : `${folder} cannot be written: ${messageOf(error)}.`;
  return new AltLasError("model_fetch_failed", sentence, { cause: error });
}
