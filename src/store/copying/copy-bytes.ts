/* Copies the bytes of files from one end to the other, and compares them. */
import { createHash } from "node:crypto";
import { AltLasError } from "../../errors.ts";
import type { FileBytes } from "../file-bytes.ts";
import type { Row } from "../thread/columns.ts";
import { type CopyEnd, type CopyTarget, TABLES, type Tell } from "./end.ts";

/**
 * @returns the ids of files whose bytes the source does not have
 * @throws {AltLasError} `conflict`: bytes are not the same when they were copied
 */
export async function copyBytes(source: CopyEnd, target: CopyTarget, tell: Tell): Promise<string[]> {
  const lost: string[] = [];
  let done = 0;
  for await (const id of idsIn(source)) {
    const wanted = await sumOf(source.bytes, id);
    if (wanted === null) lost.push(id);
    else if ((await sumOf(target.bytes, id)) !== wanted) {
      await copy(id, source.bytes, target.bytes);
      if ((await sumOf(target.bytes, id)) !== wanted)
        throw new AltLasError(
          "conflict",
          `The bytes of file ${id} on ${target.shown} are not those on ${source.shown}.`,
        );
    }
    tell(`files: the bytes of ${++done} are copied`);
  }
  return lost;
}

async function* idsIn(end: CopyEnd): AsyncGenerator<string> {
  const files = TABLES.find(({ name }) => name === "files")!;
  for (let after: Row | null = null; ;) {
    const rows: readonly Row[] = await end.read(files, files.key, after);
    if (rows.length === 0) return;
    for (const [id] of rows) yield id as string;
    after = rows.at(-1)!;
  }
}

async function copy(id: string, from: FileBytes, to: FileBytes): Promise<void> {
  const kept = await from.open(id);
  const incoming = await to.receive();
  try {
    if (kept !== null) for await (const chunk of kept.stream(0)) await incoming.write(chunk as Buffer);
    await incoming.whole();
    await incoming.moveTo(id);
  } finally {
    await incoming.end();
  }
}

/** null: there are none. */
async function sumOf(bytes: FileBytes, id: string): Promise<string | null> {
  const kept = await bytes.open(id);
  if (kept === null) return null;
  const hash = createHash("sha256");
  for await (const chunk of kept.stream(0)) hash.update(chunk as Buffer);
  return `${kept.size} ${hash.digest("hex")}`;
}
