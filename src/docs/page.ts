/** The frame around the text of each page: the way to the other ones, the search, and the contents of this page. */
import { htmlText } from "../common/html-text.ts";
import { linkTo } from "./addresses.ts";
import type { Language } from "../words/language.ts";
import { inLanguage } from "../words/words.ts";
import type { Group } from "./contents.ts";
import type { Heading } from "./markdown.ts";

export interface Page {
  readonly address: string;
  readonly language: Language;
  readonly title: string;
  readonly headings: readonly Heading[];
  readonly body: string;
  /** The same page in the other language; null: there is none. */
  readonly other: { readonly address: string; readonly language: Language } | null;
}

/** Fewer parts than these are seen at once. */
const FEW = 3;

const NAMES: Readonly<Record<Language, string>> = { en: "English", tr: "Türkçe" };

/** The words of the search, for its script. */
const SEARCH_SAYS = {
  one: "1 part found",
  several: "{} parts found",
  best: "{} parts found, of which the best {} are shown",
  silent: "The server does not answer.",
} as const;

export function pageHtml(page: Page, groups: readonly Group[]): string {
  const { address, language, title, body } = page;
  const link = (to: string): string => htmlText(linkTo(address, to));
  const say = (words: string): string => htmlText(inLanguage(language, words));
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${htmlText(title)} – ALT_LAS</title>
<link rel="icon" href="${link("site/icon.svg")}" type="image/svg+xml">
<script src="${link("site/early.js")}"></script>
<link rel="stylesheet" href="${link("site/base.css")}">
<link rel="stylesheet" href="${link("site/docs.css")}">
<script type="module" src="${link("site/search.js")}"></script>
</head>
<body>
<a class="skip" href="#text">${say("To the text")}</a>
<header>
<a class="home" href="${link("README.md")}">${say("ALT_LAS docs")}</a>
<a class="to-pages" href="#pages">${say("Pages")}</a>
<a href="${link("..")}/">${say("Dashboard")}</a>${otherLanguage(page)}
<search id="search" data-index="${link("site/search.json")}" ${searchWords(say)} hidden><input type="search" aria-label="${say("Search the documentation")}" placeholder="${say("Search ( / )")}" autocomplete="off" spellcheck="false"><div id="found" role="status"></div><ol></ol></search>
</header>
<div class="columns">
<main id="text" tabindex="-1">
${contents(page, say)}${body}
</main>
<nav id="pages" aria-label="${say("Pages")}">${navigation(page, groups, say)}</nav>
</div>
</body>
</html>
`;
}

function otherLanguage({ address, other }: Page): string {
  if (other === null) return "";
  const { language } = other;
  const to = htmlText(linkTo(address, other.address));
  return `\n<a lang="${language}" hreflang="${language}" href="${to}">${NAMES[language]}</a>`;
}

type Say = (words: string) => string;

function searchWords(say: Say): string {
  return Object.entries(SEARCH_SAYS)
    .map(([name, words]) => `data-${name}="${say(words)}"`)
    .join(" ");
}

/** The pages in the reader's language come first. */
function navigation({ address, language }: Page, groups: readonly Group[], say: Say): string {
  const isOwn = ({ name }: Group): boolean => language !== "en" && name === NAMES[language];
  const parts = groups
    .toSorted((one, other) => Number(isOwn(other)) - Number(isOwn(one)))
    .map(({ name, pages }) => {
      const items = pages.map((page) => {
        const isThis = page.address === address ? ' aria-current="page"' : "";
        return `<li><a href="${htmlText(linkTo(address, page.address))}"${isThis}>${htmlText(page.title)}</a></li>`;
      });
      return `<h2>${say(name)}</h2><ul lang="${name === NAMES.tr ? "tr" : "en"}">${items.join("")}</ul>`;
    });
  return parts.join("");
}

/** The contents of the page, behind a line that opens. */
function contents({ headings }: Page, say: Say): string {
  const parts = headings.filter(({ token }) => token.depth === 2);
  if (parts.length < FEW) return "";
  const items = parts.map(({ anchor, text }) => `<li><a href="#${htmlText(anchor)}">${htmlText(text)}</a></li>`);
  return `<details class="here"><summary>${say("On this page")}</summary><ul>${items.join("")}</ul></details>\n`;
}
