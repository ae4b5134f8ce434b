/** The words of the dashboard: both languages say the same things, and no page has a text of its own. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ENGLISH, TURKISH } from "../src/dashboard/files/words/index.js";
import { turkishPhrases } from "../src/words/words.ts";

const ROOT = join(import.meta.dirname, "..");
const FILES = globSync("src/dashboard/files/**/*.js", { cwd: ROOT })
  .filter((file) => !file.includes("/words/"))
  .map((file) => ({ file, source: readFileSync(join(ROOT, file), "utf8") }));

function placesOf(text: string): string[] {
  return [...new Set(text.match(/\{\w+\}/g))].toSorted();
}

test("both languages have the same words, with the same places", () => {
  const english: Readonly<Record<string, string>> = ENGLISH;
  const turkish: Readonly<Record<string, string>> = TURKISH;
  assert.deepEqual(Object.keys(turkish).toSorted(), Object.keys(english).toSorted());
  for (const [word, text] of Object.entries(english)) {
    assert.deepEqual(placesOf(turkish[word]!), placesOf(text), word);
    assert.notEqual(turkish[word]!.trim(), "", word);
  }
});

/** Words that mean something else in a sentence of the server, or have less room on a terminal. */
const HOMONYMS: ReadonlySet<string> = new Set(["nothing", "GPUs", "Retry of", "Memory errors"]);

test("what the server and its command line say too, they say with the same words", () => {
  const turkish: Readonly<Record<string, string>> = TURKISH;
  const words = Object.entries(ENGLISH).map(([word, english]) => ({ english, turkish: turkish[word]! }));
  const here = Map.groupBy(words, ({ english }) => english);
  for (const [english, sentence] of Object.entries(turkishPhrases())) {
    const same = here.get(english);
    if (same === undefined || english.includes("{") || HOMONYMS.has(english)) continue;
    assert.ok(same.map((word) => word.turkish).includes(sentence), `${english}: ${sentence}`);
  }
});

test("no area overwrites a word of another", () => {
  const words = globSync("src/dashboard/files/words/*.js", { cwd: ROOT }).flatMap((file) => {
    const english = readFileSync(join(ROOT, file), "utf8").split(/^export const tr /m)[0]!;
    return [...english.matchAll(/^ {2}"([^"]+)":/gm)].map(([, word]) => word!);
  });
  assert.equal(new Set(words).size, words.length);
  assert.deepEqual(words.toSorted(), Object.keys(ENGLISH).toSorted());
});

test("each word that a page asks for is there, and each that is there is asked for", () => {
  const asked = new Set(
    FILES.flatMap(({ source }) => source.match(/"[a-zA-Z]+\.[\w.]+"/g) ?? []).map((word) => word.slice(1, -1)),
  );
  const named = FILES.flatMap(({ source }) => source.match(/(?:tCode\(|area[=:] ?)"\w+"(?: \| "\w+")*/g) ?? []);
  const areas = new Set(named.flatMap((text) => [...text.matchAll(/"(\w+)"/g)].map(([, area]) => area!)));
  const idle = Object.keys(ENGLISH).filter((word) => !asked.has(word) && !areas.has(word.split(".")[0]!));
  assert.deepEqual(idle, []);
});

/** What stands in html templates outside tags and places, and in attributes that people hear or read. */
function textsIn(source: string): string[] {
  const texts: string[] = [];
  for (let at = source.indexOf("html`"); at !== -1; at = source.indexOf("html`", at + 1)) {
    const template = withoutPlaces(source, at + 5);
    texts.push(...template.matchAll(/\s(?:aria-label|title|placeholder|alt)="([^"]*)"/g).map(([, text]) => text!));
    texts.push(template.replaceAll(/<[^>]*>/g, " "));
  }
  return texts.filter((text) => /\p{L}{2}/u.test(text)).map((text) => text.trim());
}

/** One template without what is in its places, which may be templates themselves. */
function withoutPlaces(source: string, from: number): string {
  let text = "";
  for (let at = from, depth = 0; at < source.length; at++) {
    const isOpening = source.startsWith("${", at);
    if (depth === 0 && source[at] === "`") break;
    if (depth === 0 && !isOpening) text += source[at];
    else if (isOpening || source[at] === "{") depth++;
    else if (source[at] === "}") depth--;
    if (isOpening) at++;
  }
  return text;
}

test("no page has a text outside the words", () => {
  assert.deepEqual(textsIn('html`<p title="Hello">${a ? html`<b>you</b>` : `${x}`} there</p>`'), [
    "Hello",
    "there",
    "you",
  ]);
  const names = new Set(["ALT_LAS", "English Türkçe"]);
  for (const { file, source } of FILES) {
    const texts = textsIn(source).map((text) => text.replaceAll(/\s+/g, " "));
    assert.deepEqual(
      texts.filter((text) => !names.has(text)),
      [],
      file,
    );
  }
});
