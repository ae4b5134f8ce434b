/** Markdown as GitHub shows it: the same anchors for headings, so that a link that works there works here. */
import { Marked, type Token, type Tokens } from "marked";
import { htmlText } from "../common/html-text.ts";

/** A page that was read, and not yet made into HTML. */
export interface Document {
  readonly tokens: readonly Token[];
  /** The first heading; empty: it has none. */
  readonly title: string;
  readonly headings: readonly Heading[];
  /** Where links and pictures lead, as they are written. */
  readonly links: readonly string[];
  readonly blocks: readonly CodeBlock[];
}

export interface Heading {
  readonly token: Tokens.Heading;
  readonly text: string;
  readonly anchor: string;
}

/** A block between fences. */
export interface CodeBlock {
  readonly language: string;
  /** The rest of what is written behind the fence, which is not shown. */
  readonly info: string;
  readonly text: string;
}

/** Returns the address that a link gets; null: its target is not here, and its text alone is shown. */
export type ResolveLink = (href: string) => string | null;

/** @param source Markdown of this repository: HTML in it goes out as it is */
export function readDocument(source: string): Document {
  const marked = new Marked();
  const tokens = marked.lexer(source);
  const headings: Heading[] = [];
  const links: string[] = [];
  const blocks: CodeBlock[] = [];
  const anchors = new Map<string, number>();
  marked.walkTokens(tokens, (token) => {
    if (token.type === "heading") headings.push(headingOf(token as Tokens.Heading, anchors));
    else if (token.type === "link" || token.type === "image") links.push((token as Tokens.Link).href);
    else if (token.type === "code") blocks.push(blockOf(token as Tokens.Code));
  });
  return { tokens, title: headings[0]?.text ?? "", headings, links, blocks };
}

function headingOf(token: Tokens.Heading, anchors: Map<string, number>): Heading {
  const text = plainText(token.tokens);
  const slug = text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, "")
    .replaceAll(" ", "-");
  const before = anchors.get(slug) ?? 0;
  anchors.set(slug, before + 1);
  return { token, text, anchor: before === 0 ? slug : `${slug}-${before}` };
}

function blockOf({ lang = "", text }: Tokens.Code): CodeBlock {
  const [language = "", ...info] = lang.split(" ");
  return { language, info: info.join(" "), text };
}

/** The words of a part of a page, without what marks them. */
export function plainText(tokens: readonly Token[]): string {
  return tokens.map(textOf).join("").trim();
}

function textOf(token: Token): string {
  if (token.type === "table") {
    const { header, rows } = token as Tokens.Table;
    return `${[header, ...rows].map((row) => row.map((cell) => plainText(cell.tokens)).join(" ")).join(" ")} `;
  }
  if (token.type === "list") return `${(token as Tokens.List).items.map((item) => plainText(item.tokens)).join(" ")} `;
  if (token.type === "html") return "";
  if (token.type === "br") return " ";
  const inner = "tokens" in token && token.tokens !== undefined ? token.tokens.map(textOf).join("") : null;
  const isBlock = ["paragraph", "blockquote", "heading", "code", "space"].includes(token.type);
  return `${inner ?? ("text" in token ? String(token.text) : "")}${isBlock ? " " : ""}`;
}

/** @param resolve what links become */
export function toHtml({ tokens, headings }: Document, resolve: ResolveLink, anchorLabel: string): string {
  const anchors = new Map(headings.map(({ token, anchor }) => [token, anchor]));
  const marked = new Marked({
    renderer: {
      heading(token) {
        const anchor = anchors.get(token)!;
        const text = this.parser.parseInline(token.tokens);
        const link = `<a class="anchor" href="#${htmlText(anchor)}" aria-label="${htmlText(anchorLabel)}">#</a>`;
        return `<h${token.depth} id="${htmlText(anchor)}">${text} ${link}</h${token.depth}>\n`;
      },
      link({ href, tokens: inner }) {
        const text = this.parser.parseInline(inner);
        const target = resolve(href);
        return target === null ? text : `<a href="${htmlText(target)}">${text}</a>`;
      },
      image({ href, text }) {
        const target = resolve(href);
        return target === null
          ? htmlText(text)
          : `<img src="${htmlText(target)}" alt="${htmlText(text)}" loading="lazy">`;
      },
      // Both may be wider than the page, and then scroll, which has to work by keyboard, too.
      code: ({ text }) => `<pre tabindex="0"><code>${htmlText(text)}</code></pre>\n`,
      table(token) {
        const rows = token.rows.map((row) => this.tablerow({ text: row.map((cell) => this.tablecell(cell)).join("") }));
        const head = this.tablerow({ text: token.header.map((cell) => this.tablecell(cell)).join("") });
        // GitHub wants a head where we have none to say.
        const shown = token.header.every(({ text }) => text === "") ? "" : `<thead>${head}</thead>`;
        return `<div class="table" tabindex="0"><table>${shown}<tbody>${rows.join("")}</tbody></table></div>\n`;
      },
    },
  });
  return marked.parser([...tokens]);
}
