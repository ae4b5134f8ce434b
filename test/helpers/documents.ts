/** Documents: their blocks of code, and what they link to. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT } from "./server.ts";

export interface Block {
  readonly language: string;
  readonly text: string;
  /** The line before it says that no test runs it. */
  readonly isNotRun: boolean;
}

/** @param path of a document, from the root */
export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

export function blocksOf(path: string): Block[] {
  const found = textOf(path).matchAll(/^(<!-- not run: [^\n]+ -->\n)?```(\w*)\n(.*?)^```$/gms);
  return Array.from(found, ([, mark, language, text]) => ({
    language: language!,
    text: text!,
    isNotRun: mark !== undefined,
  }));
}

/** Links of a document to files that are not there, or to headings that they do not have. */
export function deadLinks(path: string): string[] {
  const links = Array.from(textOf(path).matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link!);
  return links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [file = "", heading] = link.split("#");
    const target = file === "" ? path : join(dirname(path), file);
    return !existsSync(join(ROOT, target)) || (heading !== undefined && !headingsOf(target).includes(heading));
  });
}

/** As GitHub names them in addresses. */
function headingsOf(path: string): string[] {
  const headings = textOf(path).matchAll(/^#+ (.+)$/gm);
  return Array.from(headings, ([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
