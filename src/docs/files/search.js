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

/** @type {Promise<readonly Section[]> | null} */
let sections = null;

function readIndex() {
  sections ??= fetch(index).then((answer) => {
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  });
  return sections.catch((/** @type {unknown} */ error) => {
    // The server may be back at the next try.
    sections = null;
    throw error;
  });
}

const START = "(?<![\\p{L}\\p{N}])";

/** Patterns that find each word where words begin, and all of them in a row. @param {string} question */
function patternsOf(question) {
  const words = (question.toLowerCase().match(/[\p{L}\p{N}_.-]+/gu) ?? []).map((word) => word.replaceAll(".", "\\."));
  const inRow = new RegExp(START + words.join("[^\\p{L}\\p{N}]+"), "iu");
  return { inRow, each: words.map((word) => new RegExp(START + word, "giu")) };
}

/** 0: not all words are there. @param {Section} section @param {ReturnType<typeof patternsOf>} patterns */
function scoreOf({ page, heading, text, weight }, { each, inRow }) {
  let sum = (inRow.test(heading) ? 20 : 0) + (inRow.test(text) ? 8 : 0);
  for (const pattern of each) {
    const inHeading = heading.search(pattern) >= 0 ? 20 : 0;
    const inPage = page.search(pattern) >= 0 ? 8 : 0;
    const inText = Math.min(text.match(pattern)?.length ?? 0, 5);
    if (inHeading + inPage + inText === 0) return 0;
    sum += inHeading + inPage + inText;
  }
  return sum * weight;
}

/** The text around the first word that was found, with all of them marked. @param {string} text @param {readonly RegExp[]} patterns */
function excerpt(text, patterns) {
  const firsts = patterns.map((pattern) => text.search(pattern)).filter((at) => at >= 0);
  const from = Math.max(0, Math.min(...firsts, text.length) - BEFORE);
  const start = firsts.length === 0 ? 0 : from;
  const shown = (start > 0 ? "…" : "") + text.slice(start, start + SHOWN);
  const paragraph = document.createElement("p");
  const marks = patterns.flatMap((pattern) =>
    Array.from(shown.matchAll(pattern), ({ 0: word, index: at }) => [at, at + word.length]),
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

/** @param {Section} section @param {readonly RegExp[]} patterns */
function itemOf({ address, page, heading, text }, patterns) {
  const link = document.createElement("a");
  // The index is in site/, and addresses are from the folder above.
  link.href = new URL(`../${address}`, index).href;
  link.textContent = heading === page ? page : `${page}: ${heading}`;
  const item = document.createElement("li");
  item.append(link, excerpt(text, patterns));
  return item;
}

async function search() {
  const question = input.value;
  const patterns = patternsOf(question);
  if (patterns.each.length === 0) return show([], "");
  try {
    const all = await readIndex();
    // Somebody may have typed on while the index came.
    if (question !== input.value) return;
    const hits = all
      .map((section) => ({ section, score: scoreOf(section, patterns) }))
      .filter(({ score }) => score > 0)
      .toSorted((one, other) => other.score - one.score);
    const shown = hits.slice(0, MOST).map(({ section }) => itemOf(section, patterns.each));
    const more = hits.length > MOST ? `, of which the best ${MOST} are shown` : "";
    show(shown, hits.length === 1 ? "1 part found" : `${hits.length} parts found${more}`);
  } catch {
    show([], "The server does not answer.");
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
