/** Faults of a file or a folder, as the system tells them, in words for the person who named it. */
import { messageOf } from "../errors.ts";

const WORDS: ReadonlyMap<string | undefined, string> = new Map([
  ["ENOENT", "there is no such file"],
  ["EISDIR", "it is a folder"],
  ["EEXIST", "a file is in its way"],
  ["ENOTDIR", "a file is in its way"],
]);

/** Why a path cannot be used: the end of a sentence, without its full stop. A fault of another kind is told as the system has it. */
export function pathFault(error: unknown): string {
  return WORDS.get((error as NodeJS.ErrnoException).code) ?? messageOf(error).replace(/\.$/, "");
}
