/** Documents: their blocks of code, and what they link to. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { targetOf } from "../../src/docs/addresses.ts";
import { type Document, readDocument } from "../../src/docs/markdown.ts";
import { ROOT } from "./server.ts";

export interface Block {
  readonly language: string;
  readonly text: string;
  /** What stands behind the language, which nobody sees: for commands `run`, `tested-by=NAME`, or `not-run: REASON`. */
  readonly mark: string;
  readonly isNotRun: boolean;
}

/** @param path of a document, from the root */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

const known = new Map<string, Document>();

function documentAt(path: string): Document {
  const document = known.get(path) ?? readDocument(textOf(path));
  known.set(path, document);
  return document;
}

export function blocksOf(path: string): Block[] {
  return documentAt(path).blocks.map(({ language, info, text }) => ({
    language,
    text: `${text}\n`,
    mark: info,
    isNotRun: info.startsWith("not-run: "),
  }));
}

/** Links of a document to files that are not there, or to headings that they do not have. */
export function deadLinks(path: string): string[] {
  return documentAt(path).links.filter((href) => {
    const target = href.startsWith("#") ? { path, anchor: href.slice(1) } : targetOf(path, href);
    if (target === null) return false;
    if (!existsSync(join(ROOT, target.path))) return true;
    return target.anchor !== "" && !documentAt(target.path).headings.some(({ anchor }) => anchor === target.anchor);
  });
}
