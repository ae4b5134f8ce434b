/** The way to the pages, as docs/README.md has it: its headings, and the first link of each line below them. */
import type { Token, Tokens } from "marked";
import { addressOf, targetOf } from "./addresses.ts";
import { type Document, plainText } from "./markdown.ts";

/** Pages that are about one thing. */
export interface Group {
  readonly name: string;
  readonly pages: readonly Entry[];
}

interface Entry {
  readonly title: string;
  readonly address: string;
}

/** @param path where the page is, from the root of the repository @param isThere what may be named: an image has not all files */
export function contentsOf({ tokens }: Document, path: string, isThere: ReadonlySet<string>): Group[] {
  const groups: { readonly name: string; readonly pages: Entry[] }[] = [];
  for (const token of tokens) {
    if (token.type === "heading" && token.depth === 2) groups.push({ name: plainText(token.tokens ?? []), pages: [] });
    else if (token.type === "list") groups.at(-1)?.pages.push(...entriesOf(token as Tokens.List, path, isThere));
  }
  return groups;
}

function entriesOf({ items }: Tokens.List, path: string, isThere: ReadonlySet<string>): Entry[] {
  return items.flatMap(({ tokens }) => {
    const link = firstLink(tokens);
    const target = link === null ? null : targetOf(path, link.href);
    if (target === null || !isThere.has(target.path)) return [];
    const anchor = target.anchor === "" ? "" : `#${target.anchor}`;
    return [{ title: plainText(link!.tokens), address: addressOf(target.path) + anchor }];
  });
}

function firstLink(tokens: readonly Token[]): Tokens.Link | null {
  for (const token of tokens) {
    if (token.type === "link") return token as Tokens.Link;
    const inner = "tokens" in token && token.tokens !== undefined ? firstLink(token.tokens) : null;
    if (inner !== null) return inner;
  }
  return null;
}
