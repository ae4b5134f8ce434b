/**
 * The words of the dashboard, in English and Turkish. Each area has a file in words/ with both beside each other. A text with `|` has a form
 * for one and a form for several, chosen by `n`: "{n} task|{n} tasks". The server's sentences come in the language of the page.
 */
import { computed, effect, signal } from "@preact/signals";
import { ENGLISH, TURKISH } from "../words/index.js";
import { keptInBrowser } from "./kept.js";

/** @typedef {keyof typeof ENGLISH} Word */
/** @typedef {"en" | "tr"} Language */

const DICTIONARIES = { en: ENGLISH, tr: TURKISH };
const choice = keptInBrowser("language");

/** @returns {Language} */
function firstLanguage() {
  const chosen = choice.get();
  if (chosen === "en" || chosen === "tr") return chosen;
  return navigator.languages
    .find((name) => /^(?:tr|en)\b/i.test(name))
    ?.toLowerCase()
    .startsWith("tr")
    ? "tr"
    : "en";
}

export const language = signal(firstLanguage());

/** @param {string} name */
export function chooseLanguage(name) {
  language.value = name === "tr" ? "tr" : "en";
  choice.set(language.value);
}

effect(() => {
  document.documentElement.lang = language.value;
});

const plurals = computed(() => new Intl.PluralRules(language.value));

/**
 * The text for a word, in the language of now. Components that call it are drawn anew when the language changes.
 * @param {Word} word
 * @param {Readonly<Record<string, string | number>>} [values] for the places in braces; numbers are written as the language has them
 */
export function t(word, values = {}) {
  const forms = DICTIONARIES[language.value][word].split("|");
  const n = values["n"];
  const isOne = typeof n === "number" && plurals.value.select(n) === "one";
  const form = isOne ? forms[0] : forms.at(-1);
  return (form ?? word).replaceAll(/\{(\w+)\}/g, (_all, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString(language.value) : (value ?? "");
  });
}

/** Whether there is such a word: for codes of the server, of which there may be new ones. @param {string} word @returns {word is Word} */
export function isWord(word) {
  return Object.hasOwn(ENGLISH, word);
}

/** The word for a code, or the code itself. @param {string} area @param {string} code */
export function tCode(area, code) {
  const word = `${area}.${code}`;
  return isWord(word) ? t(word) : code.replaceAll("_", " ");
}
