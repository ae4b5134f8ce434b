/** What a system says of a file or a folder, in words for the person who named it. */
import { messageOf } from "../errors.ts";

const WORDS: ReadonlyMap<string | undefined, string> = new Map([
  ["ENOENT", "there is no such file"],
  ["EISDIR", "it is a folder"],
  ["EEXIST", "a file is in its way"],
  ["ENOTDIR", "a file is in its way"],
]);

/** Why a path cannot be used: the end of a sentence, without its full stop. What is not of the path is told as the system has it. */
export function pathFault(error: unknown): string {
  return WORDS.get((error as NodeJS.ErrnoException).code) ?? messageOf(error).replace(/\.$/, "");
}
