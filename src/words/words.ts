/** Sentences in the language of their readers. The table is read when the first reader wants it: most servers have none. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Language } from "./language.ts";
import { PhraseBook } from "./phrase-book.ts";

const FOLDER = join(import.meta.dirname, "turkish");

let turkish: PhraseBook | undefined;

/** An English sentence of ours, in a language. A sentence that the table does not have stays as it is. */
export function inLanguage(language: Language, sentence: string): string {
  if (language === "en") return sentence;
  turkish ??= new PhraseBook(Object.entries(turkishPhrases()));
  return turkish.translated(sentence);
}

/** The table, of all its files. */
export function turkishPhrases(): Readonly<Record<string, string>> {
  const files = readdirSync(FOLDER).map((name) => JSON.parse(readFileSync(join(FOLDER, name), "utf8")) as object);
  return Object.assign({}, ...files) as Readonly<Record<string, string>>;
}
