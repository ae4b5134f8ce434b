/* Room on a disk, asked for before it is used. */
import { statfs } from "node:fs/promises";
import { AltLasError } from "../errors.ts";
import { shownSize } from "./sizes.ts";

/** Bytes that this user may still write into a folder, which has to exist. */
export async function roomIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/**
 * @param bytes that are needed in this folder
 * @param what needs them, as a sentence about it begins
 * @returns the bytes that are free
 * @throws {AltLasError} `store_unavailable`, with both numbers
 */
export async function checkRoom(folder: string, bytes: number, what: string): Promise<number> {
  const free = await roomIn(folder);
  if (free >= bytes) return free;
  const sentence = `${what} needs ${shownSize(bytes)} of free disk for a while; ${shownSize(free)} are free.`;
  throw new AltLasError("store_unavailable", sentence);
}
