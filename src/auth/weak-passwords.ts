/** Which new passwords are refused: those that are tried first (NIST SP 800-63B, section 3.1.1.2). Loaded by the commands only. */
import common from "@zxcvbn-ts/language-common/src/passwords.json" with { type: "json" };

const COMMON = new Set<string>(common);
/** Common choices of people who speak Turkish, without its dots and tails; a number or a sign behind it changes little. */
const TURKISH = new Set(
  (
    "sifre sifrem parola parolam galatasaray fenerbahce besiktas trabzonspor bursaspor cimbom cimbombom kartal kanarya istanbul ankara " +
    "izmir antalya turkiye turkey ataturk mustafakemal askim askimsin canim canimsin bebegim birtanem seniseviyorum seviyorum " +
    "mehmet mustafa ahmet fatma ayse elif zeynep yusuf osmanli bozkurt merhaba deneme yonetici kullanici giris"
  ).split(" "),
);
/** Different characters; fewer are a pattern and no password. */
const MIN_CHARACTERS = 3;

/**
 * @param user whose password it shall be; null: not known
 * @returns why nobody should have this password, as the end of a sentence about it; null: nothing is known against it
 */
export function weaknessOf(password: string, user: string | null): string | null {
  const plain = password.normalize("NFC").toLowerCase();
  const folded = withoutMarks(plain);
  if (COMMON.has(plain) || COMMON.has(folded) || TURKISH.has(folded.replace(/\d{0,4}[.!*?]?$/, "")))
    return "is one of the most common ones, which are guessed first";
  const name = withoutMarks((user ?? "").toLowerCase());
  if (folded === name) return "is the user's name";
  if (name !== "" && isMadeOf(folded, name)) return "is made of the user's name";
  if (/^alt[ _-]?las\d*$/.test(plain)) return "is the server's name";
  const codes = [...plain].map((character) => character.codePointAt(0)!);
  if (new Set(codes).size < MIN_CHARACTERS) return "repeats one or two characters";
  const step = codes[1]! - codes[0]!;
  const isRow = codes.every((code, index) => index === 0 || code === codes[index - 1]! + step);
  return isRow ? "is a row of characters in their order" : null;
}

/** şifre is sifre to whoever guesses. */
function withoutMarks(text: string): string {
  return text.normalize("NFD").replaceAll(/\p{M}/gu, "").replaceAll("ı", "i");
}

/** Whether more than half of a password repeats a name, and the rest has no letter. */
function isMadeOf(password: string, name: string): boolean {
  const rest = password.replaceAll(name, "");
  return rest.length * 2 < password.length && !/\p{L}/u.test(rest);
}
