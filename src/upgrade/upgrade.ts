/** The first start of a new version on data of an earlier one: what has changed for its configuration is told once. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { type Static, Type } from "../common/type.ts";
import { INSTALLATION } from "../common/installation.ts";
import { readJsonFile, writeJsonFile } from "../common/json-file.ts";
import { checkFor } from "../common/ajv.ts";
import { VERSION } from "../common/version.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { said } from "../words/terminal.ts";
import { type Change, CHANGES, type Its } from "./changes.ts";

/** In the data directory: which version served it last. */
const VERSION_FILE = "version.json";

const FileSchema = Type.Object({ version: Type.Literal(1), alt_las: Type.String({ pattern: "^\\d+\\.\\d+\\.\\d+" }) });
const validate = checkFor(FileSchema);

/** A version like 0.2.0; `earlier`: one before 0.2.0, which left no word of itself; null: nothing was served yet. */
export type LastServed = string | null;
export const EARLIER = "earlier";

/** One change, and the keys by which it concerns a configuration. */
export interface Told {
  readonly keys: readonly string[];
  readonly sentence: string;
}

export interface Upgrade {
  readonly from: string;
  readonly to: string;
  readonly changes: readonly Told[];
}

/**
 * Looks which version served these data last; before the database is opened, which makes one.
 * @returns what is called when the server answers: it tells the log of an upgrade and remembers this version, so that it is told once
 */
export function beginVersion(dataDir: string, databasePath: string): (its: Its, log: Logger) => Upgrade | null {
  const before = lastServed(dataDir, databasePath);
  return (its, log) => {
    const upgrade = upgradeFor(before, its);
    if (upgrade !== null) log.info({ ...upgrade }, "the first start of this version on these data");
    if (before !== VERSION) remember(dataDir, log);
    return upgrade;
  };
}

/** A file that is damaged says nothing: to tell too much is better than to refuse the start. */
export function lastServed(dataDir: string, databasePath: string): LastServed {
  try {
    const file = readJsonFile(join(dataDir, VERSION_FILE), validate) as Static<typeof FileSchema> | undefined;
    if (file !== undefined) return file.alt_las;
    return (statSync(databasePath, { throwIfNoEntry: false })?.size ?? 0) > 0 ? EARLIER : null;
  } catch {
    return EARLIER;
  }
}

/** Remembers this version. A failure keeps no server from serving; the upgrade is told again at the next start then. */
function remember(dataDir: string, log: Logger): void {
  try {
    writeJsonFile(join(dataDir, VERSION_FILE), { version: 1, alt_las: VERSION });
  } catch (error) {
    log.warn({ reason: messageOf(error) }, `${VERSION_FILE} cannot be written; what an upgrade changes is told again`);
  }
}

/** The changes of an upgrade for a configuration; null: there was none. */
export function upgradeFor(
  before: LastServed,
  its: Its,
  now = VERSION,
  changes: readonly Change[] = CHANGES,
): Upgrade | null {
  if (before === null || (before !== EARLIER && compareVersions(before, now) >= 0)) return null;
  const isNew = ({ since }: Change): boolean =>
    (before === EARLIER || compareVersions(since, before) > 0) && compareVersions(since, now) <= 0;
  const told = changes
    .filter(isNew)
    .map((change) => ({ keys: change.keys(its), sentence: change.sentence }))
    .filter(({ keys }) => keys.length > 0);
  return { from: before, to: now, changes: told };
}

/** Of two versions, as `Array.sort` wants it; what stands behind a dash does not count. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split("-")[0]!.split(".").map(Number));
  return left!.reduce((order, part, place) => order || part - right![place]!, 0);
}

/** For the first screen. */
export function upgradeWords({ from, to, changes }: Upgrade): string {
  const before = from === EARLIER ? "an earlier version" : from;
  const head = `This is the first start of ALT_LAS ${to} on these data, which ${before} served before.`;
  const page = INSTALLATION.as === "clone" ? "docs/upgrading.md" : join(INSTALLATION.root, "docs", "upgrading.md");
  const all = `All changes: ${page}`;
  if (changes.length === 0) return `${head} Nothing in your configuration means anything else than before. ${all}`;
  const lines = changes.map(({ keys, sentence }) => `  ${keys.join(", ")}: ${said(sentence)}`);
  return [`${head} For your configuration this has changed:`, ...lines, all].join("\n");
}
