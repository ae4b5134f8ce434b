/* The tar file of a backup: which files it holds, and the manifest that says what they must be. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { open } from "node:fs/promises";
import tar, { type Pack } from "tar-stream";
import { type Static, Type } from "../common/type.ts";
import { wallTime, wallTimeText } from "../common/clock.ts";
import { checkFor } from "../common/ajv.ts";
import { VERSION } from "../common/version.ts";

/** Files that a backup may hold beside the manifest; the names are those of the data directory. */
const NAMES = [
  "alt-las.db",
  "cluster.json",
  "credentials.json",
  "gpus.json",
  "models.json",
  "runtime.json",
  "version.json",
] as const;
/** The folder of uploaded files, in the data directory and in a backup; each has its id for a name. */
export const FILES = "files";
const UPLOADED = "files/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
/** Those of the data directory itself, which are small but for the database. */
export const SMALL_FILES = NAMES.slice(1);
const NAME = `^(?:${NAMES.map((name) => name.replace(".", "\\.")).join("|")}|${UPLOADED})$`;
/** The file of them that a backup always holds. */
export const DATABASE = NAMES[0];
export const MANIFEST = "manifest.json";
/** Bytes: a manifest is some hundred, and 150 for each uploaded file. */
export const MAX_MANIFEST = 64 * 2 ** 20;

const isName = new RegExp(NAME);

/** Whether a backup may hold a file of that name. */
export function isBackupName(name: string): boolean {
  return isName.test(name);
}

const strict = { additionalProperties: false };
const Size = Type.Integer({ minimum: 0 });
const ManifestSchema = Type.Object(
  {
    format: Type.Literal(1, { allowed: "1; another version of ALT_LAS may have written the backup" }),
    /** The version that wrote it. */
    alt_las: Type.String(),
    /** The number of the last migration that the database has. */
    schema: Size,
    /** ISO 8601. */
    created_at: Type.String(),
    files: Type.Array(
      Type.Object(
        {
          name: Type.String({ pattern: NAME, allowed: "the name of a file of ALT_LAS" }),
          size: Size,
          sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }),
        },
        strict,
      ),
    ),
  },
  strict,
);
export type Manifest = Static<typeof ManifestSchema>;
export const validateManifest = checkFor(ManifestSchema);

/** One file of a backup: where it is, or what is in it. One that is removed meanwhile is left out. */
export interface Source {
  readonly name: string;
  readonly content: Buffer | { readonly path: string };
}

/**
 * The bytes of a backup. The manifest comes last, because each file is read once only.
 * @param schema the number of the last migration that the database has
 */
export async function* archiveOf(sources: readonly Source[], schema: number): AsyncGenerator<Buffer, void, undefined> {
  const pack = tar.pack();
  const stopped = new AbortController();
  const filled = fill(pack, sources, schema, stopped.signal).catch((error: unknown) => pack.destroy(error as Error));
  try {
    yield* pack;
  } finally {
    // Also when the reader has left.
    stopped.abort();
    await filled;
  }
}

async function fill(pack: Pack, sources: readonly Source[], schema: number, signal: AbortSignal): Promise<void> {
  const files: Manifest["files"] = [];
  for (const { name, content } of sources) {
    const entry = Buffer.isBuffer(content) ? { size: content.length, chunks: [content] } : await opened(content.path);
    if (entry === null) continue;
    const { size } = entry;
    files.push({ name, size, sha256: await addFile(pack, { name, ...entry }, signal) });
  }
  const manifest: Manifest = { format: 1, alt_las: VERSION, schema, created_at: wallTimeText(), files };
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  await addFile(pack, { name: MANIFEST, size: text.length, chunks: [text] }, signal);
  pack.finalize();
}

/** null: there is no such file. */
async function opened(path: string): Promise<Omit<Entry, "name"> | null> {
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (handle === null) return null;
  const { size } = await handle.stat();
  if (size > 0) return { size, chunks: handle.createReadStream({ start: 0, end: size - 1 }) };
  await handle.close();
  return { size, chunks: [] };
}

interface Entry {
  readonly name: string;
  readonly size: number;
  readonly chunks: Iterable<Buffer> | AsyncIterable<Buffer>;
}

/** @returns the SHA-256 in hex */
async function addFile(pack: Pack, { name, size, chunks }: Entry, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const entry = pack.entry({ name, size, mode: 0o600, mtime: new Date(wallTime()), type: "file" });
  const finished = once(entry, "close", { signal });
  // It may fail before anybody waits for it.
  finished.catch(() => undefined);
  for await (const chunk of chunks) {
    hash.update(chunk);
    if (!entry.write(chunk)) await once(entry, "drain", { signal });
  }
  entry.end();
  await finished;
  return hash.digest("hex");
}
