/** A file as browsers get it: with its type, compressed where that makes it smaller, and with a tag that changes with its content. */
import { hash } from "node:crypto";
import { extname } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
  /** The same, compressed; null: it is compressed as it is. */
  readonly gzipped: Buffer | null;
  readonly etag: string;
}

/** The types of the files that a browser may be given, by how their names end. */
export const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".html": "text/html; charset=utf-8",
  ".json": "application/json; charset=utf-8",
};

const compress = promisify(gzip);

/** @param name of the file; its end says what it is, and is one of `TYPES` */
export async function assetOf(name: string, body: Buffer): Promise<Asset> {
  const end = extname(name);
  const etag = `"${hash("sha256", body).slice(0, 32)}"`;
  const gzipped = end === ".png" ? null : await compress(body, { level: 9 });
  return { type: TYPES[end]!, body, gzipped, etag };
}
