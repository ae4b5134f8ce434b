/** Which new passwords are refused: those that are tried first (NIST SP 800-63B, section 3.1.1.2). Loaded by the commands only. */
import common from "@zxcvbn-ts/language-common/src/passwords.json" with { type: "json" };

const COMMON = new Set<string>(common);
/** Different characters; fewer are a pattern and no password. */
const MIN_CHARACTERS = 3;

/**
 * @param user whose password it shall be; null: not known
 * @returns why nobody should have this password, as the end of a sentence about it; null: nothing is known against it
 */
export function weaknessOf(password: string, user: string | null): string | null {
  const plain = password.normalize("NFC").toLowerCase();
  if (COMMON.has(plain)) return "is one of the most common ones, which are guessed first";
  if (plain === user?.toLowerCase()) return "is the user's name";
  if (/^alt[ _-]?las\d*$/.test(plain)) return "is the server's name";
  const codes = [...plain].map((character) => character.codePointAt(0)!);
  if (new Set(codes).size < MIN_CHARACTERS) return "repeats one or two characters";
  const step = codes[1]! - codes[0]!;
  const isRow = codes.every((code, index) => index === 0 || code === codes[index - 1]! + step);
  return isRow ? "is a row of characters in their order" : null;
}
