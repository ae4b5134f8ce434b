/** Texts of the command line, in the language of the terminal. */
import { type Language, languageOfTerminal } from "./language.ts";
import { inLanguage } from "./words.ts";

/** JSON, which programs read. */
const JSON_TEXT = /^\s*[[{"]/;

/** A word that is a label or a value by itself. The table has it with a colon: in a sentence, the same word may be a unit or a state. */
export function saidAlone(word: string): string {
  return said(`${word}:`).slice(0, -1);
}

/** Whether an answer to a question of ours is a yes, in English or in the language of the question. */
export function isYes(answer: string, language: Language = languageOfTerminal(process.env)): boolean {
  const words = language === "tr" ? /^(?:y(?:es)?|e(?:vet)?)$/i : /^y(?:es)?$/i;
  return words.test(answer.trim());
}

/** A text of ours: a sentence, or lines of which each is looked at where the whole is none. */
export function said(text: string): string {
  const language = languageOfTerminal(process.env);
  if (language === "en" || JSON_TEXT.test(text)) return text;
  const [, words = "", end = ""] = /^([^]*?)(\n*)$/.exec(text) ?? [];
  const whole = inLanguage(language, words);
  if (whole !== words || !words.includes("\n")) return whole + end;
  return text
    .split("\n")
    .map((line) => {
      const [, indentation = "", rest = ""] = /^(\s*)(.*)$/.exec(line) ?? [];
      return indentation + inLanguage(language, rest);
    })
    .join("\n");
}
