/** The sections that the search looks through: each page, cut at its headings. */
import { type Document, plainText } from "./markdown.ts";

/** Read by files/search.js. */
export interface Section {
  /** Below `/docs/`, with the anchor of the heading. */
  readonly address: string;
  /** Of the page. */
  readonly page: string;
  readonly heading: string;
  readonly text: string;
  readonly language: string;
  /** Pages about changes, or about the inside, come behind those about use. */
  readonly weight: number;
}

const BEHIND = /^(?:files\/|decisions\.md|upgrading\.md)/;

export function sectionsOf(address: string, language: string, { tokens, title, headings }: Document): Section[] {
  const starts = headings.map((heading) => ({ ...heading, at: tokens.indexOf(heading.token) }));
  return starts
    .filter(({ at }) => at >= 0)
    .map(({ anchor, text: heading, at }, index, all) => ({
      address: index === 0 ? address : `${address}#${anchor}`,
      page: title,
      heading,
      text: plainText(tokens.slice(at + 1, all[index + 1]?.at)).replaceAll(/\s+/g, " "),
      language,
      weight: BEHIND.test(address) ? 0.4 : 1,
    }));
}
