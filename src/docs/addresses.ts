/**
 * Where files of the repository are below `/docs/`: those of docs/ as they are named there, so that links between them stay as they are
 * written, and others behind `files/`. All addresses in pages are relative, as a proxy may have put a path before them.
 */
import { posix } from "node:path";

const DOCS = "docs/";
const OTHERS = "files/";
/** A place for addresses; any that has a folder above it. */
const ABOVE = "/a/docs";

/** @param path from the root of the repository, with slashes */
export function addressOf(path: string): string {
  return path.startsWith(DOCS) ? path.slice(DOCS.length) : OTHERS + path;
}

/** The target of a link; null: a place within its page, or out of the repository. */
export interface Target {
  /** From the root of the repository. */
  readonly path: string;
  /** Behind `#`; empty: none. */
  readonly anchor: string;
}

/** @param from the file in which the link stands, from the root of the repository */
export function targetOf(from: string, href: string): Target | null {
  if (href.startsWith("#") || /^[a-z]+:/i.test(href)) return null;
  const [path = "", anchor = ""] = decodeURI(href).split("#");
  return { path: posix.normalize(posix.join(posix.dirname(from), path)), anchor };
}

/** The link from one address to another one, or to the folder above, which is `..`. */
export function linkTo(from: string, to: string): string {
  // Relative paths would be seen from the folder of this process, above which there may be nothing.
  return posix.relative(posix.join(ABOVE, posix.dirname(from)), posix.join(ABOVE, to));
}
