/** A look at a database that no server has. */
import { AltLasError, messageOf } from "../errors.ts";
import { type DatabaseFacts, openOffline } from "../store/sqlite/offline.ts";

/**
 * @param isWhole whether every page is read, which takes as long as reading the file
 * @throws {AltLasError} when it is not ours, is in use, lacks its log, or is too damaged to be opened
 */
export function lookAtDatabase(path: string, isWhole: boolean): DatabaseFacts {
  try {
    const database = openOffline(path);
    try {
      return database.check(isWhole);
    } finally {
      database.close();
    }
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    const sentence = `The task database ${path} cannot be read: ${messageOf(error)}. A start puts a damaged one aside and begins a new one; a backup has what was in it.`;
    throw new AltLasError("store_unavailable", sentence, { cause: error });
  }
}
