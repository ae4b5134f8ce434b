/* The tar file of a backup: which files it holds, and the manifest that says what they must be. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import tar, { type Pack } from "tar-stream";
import { type Static, Type } from "typebox";
import { wallTime, wallTimeText } from "../common/clock.ts";
import { makeAjv } from "../common/validation.ts";
import { VERSION } from "../common/version.ts";

/** Files that a backup may hold beside the manifest; the names are those of the data directory. */
export const NAMES = ["alt-las.db", "credentials.json", "gpus.json", "models.json", "runtime.json"] as const;
/** The file of them that a backup always holds. */
export const DATABASE = NAMES[0];
export const MANIFEST = "manifest.json";
/** Bytes: a manifest is some hundred. */
export const MAX_MANIFEST = 65_536;

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
        { name: Type.Enum([...NAMES]), size: Size, sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }) },
        strict,
      ),
    ),
  },
  strict,
);
export type Manifest = Static<typeof ManifestSchema>;
export const validateManifest = makeAjv().compile(ManifestSchema);

/** One file of a backup: where it is, or what is in it. */
export interface Source {
  readonly name: (typeof NAMES)[number];
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
    const size = Buffer.isBuffer(content) ? content.length : (await stat(content.path)).size;
    const chunks = Buffer.isBuffer(content) ? [content] : createReadStream(content.path, { end: size - 1 });
    files.push({ name, size, sha256: await addFile(pack, { name, size, chunks }, signal) });
  }
  const manifest: Manifest = { format: 1, alt_las: VERSION, schema, created_at: wallTimeText(), files };
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  await addFile(pack, { name: MANIFEST, size: text.length, chunks: [text] }, signal);
  pack.finalize();
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
