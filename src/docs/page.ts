/** What is around the text of each page: the way to the other ones, the search, and what this page has. */
import { htmlText } from "../common/html-text.ts";
import { linkTo } from "./addresses.ts";
import type { Group } from "./contents.ts";
import type { Heading } from "./markdown.ts";

export interface Page {
  readonly address: string;
  readonly language: string;
  readonly title: string;
  readonly headings: readonly Heading[];
  readonly body: string;
}

/** Fewer parts than these are seen at once. */
const FEW = 3;

export function pageHtml({ address, language, title, headings, body }: Page, groups: readonly Group[]): string {
  const link = (to: string): string => htmlText(linkTo(address, to));
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
<a class="skip" lang="en" href="#text">To the text</a>
<header lang="en">
<a class="home" href="${link("README.md")}">ALT_LAS docs</a>
<a class="to-pages" href="#pages">Pages</a>
<a href="${link("..")}/">Dashboard</a>
<search id="search" data-index="${link("site/search.json")}" hidden><input type="search" aria-label="Search the documentation" placeholder="Search ( / )" autocomplete="off" spellcheck="false"><div id="found" role="status"></div><ol></ol></search>
</header>
<div class="columns">
<main id="text" tabindex="-1">
${contents(headings)}${body}
</main>
<nav id="pages" lang="en" aria-label="Pages">${navigation(address, groups)}</nav>
</div>
</body>
</html>
`;
}

function navigation(address: string, groups: readonly Group[]): string {
  const parts = groups.map(({ name, pages }) => {
    const items = pages.map((page) => {
      const isThis = page.address === address ? ' aria-current="page"' : "";
      return `<li><a href="${htmlText(linkTo(address, page.address))}"${isThis}>${htmlText(page.title)}</a></li>`;
    });
    return `<h2>${htmlText(name)}</h2><ul>${items.join("")}</ul>`;
  });
  return parts.join("");
}

/** What the page has, behind a line that opens. */
function contents(headings: readonly Heading[]): string {
  const parts = headings.filter(({ token }) => token.depth === 2);
  if (parts.length < FEW) return "";
  const items = parts.map(({ anchor, text }) => `<li><a href="#${htmlText(anchor)}">${htmlText(text)}</a></li>`);
  return `<details class="here"><summary lang="en">On this page</summary><ul>${items.join("")}</ul></details>\n`;
}
