/** Where tests get the key of a server's first start from, whose output is no terminal. */
import { readFileSync } from "node:fs";

/** The key that a greeting names the file of; "": it names none. */
export function firstKeyIn(greeting: string): string {
  const path = /^API key of the user admin: it is in (.*), which only/m.exec(greeting)?.[1];
  return path === undefined ? "" : readFileSync(path, "utf8").trim();
}
