/** The blocks of code of documents. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
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
