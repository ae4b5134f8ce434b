/**
 * The search: all words of the question at the beginnings of words. The index is fetched when somebody first wants to search, and looked
 * through in the browser, which takes a few milliseconds.
 *
 * @typedef {import("../sections.ts").Section} Section
 */

const MOST = 20;
/** Characters of a text that are shown before its first word that was found, and in all. */
const BEFORE = 40;
const SHOWN = 180;

const root = /** @type {HTMLElement} */ (document.querySelector("#search"));
const input = /** @type {HTMLInputElement} */ (root.querySelector("input"));
const found = /** @type {HTMLElement} */ (root.querySelector("#found"));
const list = /** @type {HTMLElement} */ (root.querySelector("ol"));
const index = new URL(root.dataset["index"] ?? "", document.baseURI);

/** @typedef {Section & { readonly folded: Pick<Section, "page" | "heading" | "text"> }} Searched */

/** @type {Promise<readonly Searched[]> | null} */
let sections = null;

/** As it is compared: in Turkish I and ı, and İ and i, are pairs. No character changes its place. @param {string} text */
function fold(text) {
  return text.replaceAll(/[İIı]/g, "i").toLowerCase();
}

/** @param {Section} section @returns {Searched} */
function searched(section) {
  const { page, heading, text } = section;
  return { ...section, folded: { page: fold(page), heading: fold(heading), text: fold(text) } };
}

function readIndex() {
  sections ??= fetch(index).then(async (answer) => {
    if (!answer.ok) throw new Error(`${answer.status}`);
    return (await answer.json()).map(searched);
  });
  return sections.catch((/** @type {unknown} */ error) => {
    // The server may be back at the next try.
    sections = null;
    throw error;
  });
}

const START = "(?<![\\p{L}\\p{N}])";

/** Patterns that find, in what was folded, each word where words begin, and all of them in a row. @param {string} question */
function patternsOf(question) {
  const words = (fold(question).match(/[\p{L}\p{N}_.-]+/gu) ?? []).map((word) => word.replaceAll(".", "\\."));
  const inRow = new RegExp(START + words.join("[^\\p{L}\\p{N}]+"), "u");
  return { inRow, each: words.map((word) => new RegExp(START + word, "gu")) };
}

/** How much of a section is about a word. @param {Searched} section @param {RegExp} pattern */
function aboutWord({ folded: { page, heading, text } }, pattern) {
  const inHeading = heading.search(pattern) >= 0 ? 8 : 0;
  const inPage = page.search(pattern) >= 0 ? 4 : 0;
  return inHeading + inPage + Math.min(text.match(pattern)?.length ?? 0, 4);
}

/** The sections that have all words, the best first: rare words count more. @param {readonly Searched[]} all @param {ReturnType<typeof patternsOf>} patterns */
function ranked(all, { each, inRow }) {
  const words = each.map((pattern) => {
    const scores = all.map((section) => aboutWord(section, pattern));
    return { scores, rarity: Math.log(1 + all.length / scores.filter((score) => score > 0).length) };
  });
  const inWords = each.length > 1 ? 30 : 0;
  return all
    .map((section, at) => {
      const sum = words.reduce((total, { scores, rarity }) => total + rarity * (scores[at] ?? 0), 0);
      const inOrder =
        (inRow.test(section.folded.heading) ? 2 * inWords : 0) + (inRow.test(section.folded.text) ? inWords : 0);
      const isRead = section.language === document.documentElement.lang;
      const hasAll = words.every(({ scores }) => scores[at] !== 0);
      return { section, score: hasAll ? (sum + inOrder) * section.weight * (isRead ? 1 : 0.3) : 0 };
    })
    .filter(({ score }) => score > 0)
    .toSorted((one, other) => other.score - one.score)
    .map(({ section }) => section);
}

/** The text around what was found first, with all of it marked. @param {string} text @param {ReturnType<typeof patternsOf>} patterns */
function excerpt(text, { each, inRow }) {
  const folded = fold(text);
  const places = [inRow, ...each].map((pattern) => folded.search(pattern));
  const start = Math.max(0, (places.find((at) => at >= 0) ?? 0) - BEFORE);
  const shown = (start > 0 ? "…" : "") + text.slice(start, start + SHOWN);
  const paragraph = document.createElement("p");
  const marks = each.flatMap((pattern) =>
    Array.from(fold(shown).matchAll(pattern), ({ 0: word, index: at }) => [at, at + word.length]),
  );
  let done = 0;
  for (const [at = 0, end = 0] of marks.toSorted(([a = 0], [b = 0]) => a - b)) {
    if (at < done) continue;
    const mark = document.createElement("mark");
    mark.textContent = shown.slice(at, end);
    paragraph.append(shown.slice(done, at), mark);
    done = end;
  }
  paragraph.append(shown.slice(done));
  return paragraph;
}

/** @param {Section} section @param {ReturnType<typeof patternsOf>} patterns */
function itemOf({ address, page, heading, text }, patterns) {
  const link = document.createElement("a");
  // The index is in site/, and addresses are from the folder above.
  link.href = new URL(`../${address}`, index).href;
  link.textContent = heading === page ? page : `${page}: ${heading}`;
  const item = document.createElement("li");
  item.append(link, excerpt(text, patterns));
  return item;
}

/** In the language of the page, which has the words. @param {string} words @param {readonly number[]} numbers for its places */
function says(words, ...numbers) {
  const left = [...numbers];
  return (root.dataset[words] ?? "").replaceAll("{}", () => String(left.shift()));
}

async function search() {
  const question = input.value;
  const patterns = patternsOf(question);
  if (patterns.each.length === 0) return show([], "");
  try {
    const all = await readIndex();
    // Somebody may have typed on while the index came.
    if (question !== input.value) return;
    const hits = ranked(all, patterns);
    const shown = hits.slice(0, MOST).map((section) => itemOf(section, patterns));
    const words = hits.length === 1 ? "one" : hits.length > MOST ? "best" : "several";
    show(shown, says(words, hits.length, MOST));
  } catch {
    show([], says("silent"));
  }
}

/** @param {readonly HTMLElement[]} items @param {string} sentence */
function show(items, sentence) {
  list.replaceChildren(...items);
  found.textContent = sentence;
  root.classList.toggle("open", sentence !== "");
}

/** Down and up lead through what was found, Escape out of it. @param {KeyboardEvent} event */
function move(event) {
  if (event.key === "Escape") {
    input.value = "";
    show([], "");
    input.focus();
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step === undefined) return;
  const places = [input, ...list.querySelectorAll("a")];
  const at = places.indexOf(/** @type {HTMLInputElement} */ (document.activeElement));
  places[at + step]?.focus();
  event.preventDefault();
}

root.hidden = false;
input.addEventListener("focus", () => void readIndex().catch(() => null), { once: true });
input.addEventListener("input", () => void search());
root.addEventListener("keydown", move);
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target === input) return;
  input.focus();
  event.preventDefault();
});
// A click elsewhere, or the way on, closes it.
document.addEventListener("click", ({ target }) => {
  if (!root.contains(/** @type {Node} */ (target))) root.classList.remove("open");
});
input.addEventListener("click", () => void search());
list.addEventListener("click", () => show([], ""));
