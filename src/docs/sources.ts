/** The files that the documentation is made of: the pages of docs/, and what they name of the rest of the repository. */
import { existsSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as otherWork } from "node:timers/promises";
import { targetOf } from "./addresses.ts";
import { type Document, readDocument } from "./markdown.ts";

/** Paths are from the root of the repository, with slashes. */
export interface Sources {
  readonly documents: ReadonlyMap<string, Document>;
  /** Files that are shown as they are written. */
  readonly texts: readonly string[];
  readonly pictures: readonly string[];
}

/** The page that groups all others. */
export const CONTENTS = "docs/README.md";
/** Pages beside those of docs/; whatever these name is there, too. */
const BESIDE = ["README.md", "CHANGELOG.md"];
const PICTURE = /\.(?:png|svg)$/;
const TEXT = /\.(?:yaml|yml|json|py|mjs|ts|html)$|^LICENSE$/;

/** @param root the folder of the repository, or of the package */
export async function readSources(root: string): Promise<Sources> {
  const inside = await readdir(join(root, "docs"), { recursive: true });
  const files = inside.map((name) => `docs/${name.replaceAll("\\", "/")}`).toSorted();
  const documents = new Map<string, Document>();
  const read = async (path: string): Promise<void> => {
    documents.set(path, readDocument(await readFile(join(root, path), "utf8")));
    // A page takes a few milliseconds, all of them a quarter of a second.
    await otherWork();
  };
  for (const path of [...BESIDE, ...files.filter((one) => one.endsWith(".md"))]) await read(path);
  const named = namedBy(documents).filter((path) => !documents.has(path) && isFile(join(root, path)));
  for (const path of named.filter((one) => one.endsWith(".md"))) await read(path);
  return {
    documents,
    texts: named.filter((path) => TEXT.test(path)),
    pictures: files.filter((path) => PICTURE.test(path)),
  };
}

/** The paths that pages link to, in the repository. */
function namedBy(documents: ReadonlyMap<string, Document>): string[] {
  const targets = [...documents].flatMap(([path, { links }]) => links.map((href) => targetOf(path, href)?.path));
  const within = targets.filter((path) => path !== undefined && !path.startsWith(".."));
  return [...new Set(within as string[])].toSorted();
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}
