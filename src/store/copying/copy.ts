/** Copies all that is stored from one kind of database to another, and compares both. A copy that was broken off goes on. */
import { createHash } from "node:crypto";
import { AltLasError } from "../../errors.ts";
import type { Row } from "../thread/columns.ts";
import { type AccountEnds, copyAccounts, refuseOthers } from "./copy-accounts.ts";
import { copyBytes } from "./copy-bytes.ts";
import { type Content, type CopyEnd, type CopyTarget, stampOf, type Table, TABLES, type Tell } from "./end.ts";

/** Rows by table. */
export type Copied = ReadonlyMap<string, number>;

export interface Done {
  readonly copied: Copied;
  /** Ids of files whose bytes the source does not have. */
  readonly lost: readonly string[];
  /** All was there before. */
  readonly wasThere: boolean;
}

/**
 * 1. Rows that are there from a copy of the same source stay; each table goes on behind its highest key.
 * 2. The bytes of each file are copied, unless they are the same.
 * 3. Both ends are read from the first row to the last, and compared.
 * 4. Users and keys are copied and compared, too.
 * 5. Only then the target is one that a server takes.
 * @throws {AltLasError} `conflict`: the target has other data, or the two are not the same; what the ends throw
 */
export async function copyStore(source: CopyEnd, target: CopyTarget, accounts: AccountEnds, tell: Tell): Promise<Done> {
  const stamp = await stampOf(source);
  const content = await target.content();
  const wasThere = content.kind === "data" && content.stamp === stamp;
  if (content.kind === "data" && !wasThere) throw otherData(target);
  await refuseOthers(accounts, content.kind === "part");
  if (!wasThere) {
    await begin(content, target, stamp ?? "", tell);
    for (const table of TABLES) await copyTable(table, source, target, tell);
    await target.setLastNumbers(await source.lastNumbers());
  }
  const lost = await copyBytes(source, target, tell);
  const rows = await compare(source, target, tell);
  const copied = new Map([...rows, ...(await copyAccounts(accounts))]);
  if ((await stampOf(source)) !== stamp) throw changed(source);
  await target.finish();
  return { copied, lost, wasThere };
}

async function begin(content: Content, target: CopyTarget, stamp: string, tell: Tell): Promise<void> {
  if (content.kind === "part" && content.stamp === stamp && stamp !== "") return;
  if (content.kind === "part") tell(`${target.shown} has a part of a copy of something else, which is begun anew`);
  await target.begin(stamp);
}

async function copyTable(table: Table, source: CopyEnd, target: CopyTarget, tell: Tell): Promise<void> {
  const columns = await source.columns(table);
  const all = await source.count(table);
  let done = await target.count(table);
  let after = await target.last(table);
  for (;;) {
    const rows = await source.read(table, columns, after);
    if (rows.length === 0) return;
    await target.write(table, columns, rows);
    done += rows.length;
    after = keyOf(table, columns, rows.at(-1)!);
    tell(`${table.name}: ${done} of ${all} rows are copied`);
  }
}

/** @throws {AltLasError} `conflict` */
async function compare(source: CopyEnd, target: CopyTarget, tell: Tell): Promise<Copied> {
  const counts = new Map<string, number>();
  for (const table of TABLES) {
    const columns = await source.columns(table);
    const [one, other] = [await sumOf(table, columns, source, tell), await sumOf(table, columns, target, tell)];
    if (one.rows !== other.rows || one.sha256 !== other.sha256) throw different(table, [one, other], [source, target]);
    counts.set(table.name, one.rows);
  }
  const [one, other] = [await source.lastNumbers(), await target.lastNumbers()];
  if (one.seq === other.seq && one.audit === other.audit) return counts;
  throw new AltLasError("conflict", `${target.shown} would give numbers again. ${AGAIN}`);
}

interface Sum {
  readonly rows: number;
  readonly sha256: string;
}

async function sumOf(table: Table, columns: readonly string[], end: CopyEnd, tell: Tell): Promise<Sum> {
  const hash = createHash("sha256");
  let rows = 0;
  let after: Row | null = null;
  for (;;) {
    const some: readonly Row[] = await end.read(table, columns, after);
    if (some.length === 0) return { rows, sha256: hash.digest("hex") };
    for (const row of some) hash.update(`${JSON.stringify(row)}\n`);
    rows += some.length;
    after = keyOf(table, columns, some.at(-1)!);
    tell(`${table.name}: ${rows} rows of ${end.shown} are compared`);
  }
}

function keyOf({ key }: Table, columns: readonly string[], row: Row): Row {
  return key.map((name) => row[columns.indexOf(name)]!);
}

const AGAIN = "Nothing of it is used by a server. Remove it and copy again.";

function changed(source: CopyEnd): AltLasError {
  return new AltLasError("conflict", `A server has run on ${source.shown} meanwhile. Stop it, and copy again.`);
}

function otherData(target: CopyTarget): AltLasError {
  return new AltLasError("conflict", `${target.shown} has data already, and is left as it is: ${target.instead}`);
}

function different({ name }: Table, [one, other]: readonly [Sum, Sum], ends: readonly [CopyEnd, CopyEnd]): AltLasError {
  const [from, to] = ends;
  const counts = `${one.rows} rows (SHA-256 ${one.sha256}) on ${from.shown}, ${other.rows} (${other.sha256}) on ${to.shown}`;
  return new AltLasError("conflict", `The copy of ${name} is not the same: ${counts}. ${AGAIN}`);
}
