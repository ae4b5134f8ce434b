/** Files of a known SHA-256 from servers of others: resumed where they broke off, and under their name only when they are whole. */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rename } from "node:fs/promises";
import { type Response } from "undici";
import { messageOf } from "../errors.ts";
import { ask, shownUrl, type Web, whyOf } from "./web.ts";

export interface RemoteFile {
  readonly url: string;
  /** In hexadecimal digits. */
  readonly sha256: string;
}

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  /** @param bytes so far, also those of an earlier attempt; `total`: null where the server does not say */
  onProgress?(bytes: number, total: number | null): void;
}

/** Connections in a row that may break without a single byte. */
const ATTEMPTS = 3;

/**
 * Fetches a file to `path`. What is there of it already, under `path` with ".part" behind it, is gone on from.
 * @throws {Error} one sentence: it cannot be had, or is not what it should be. What has come stays for the next call.
 */
export async function download(
  web: Web,
  source: RemoteFile,
  path: string,
  options: DownloadOptions = {},
): Promise<void> {
  const half = `${path}.part`;
  const file = await open(half, "a+");
  try {
    const isWhole = (await resumed(web, source, file, options)) || (await resumed(web, source, file, options));
    if (!isWhole) throw new Error(`${shownUrl(source.url)} is not the file of the SHA-256 ${source.sha256}.`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(half, path);
}

/** false: the bytes were other ones and are gone, so that the next attempt begins anew. */
async function resumed(web: Web, source: RemoteFile, file: FileHandle, options: DownloadOptions): Promise<boolean> {
  const part = await Part.of(file);
  for (let failures = 0; ;) {
    const before = part.bytes;
    try {
      await part.take(await answerFrom(web, source, part.bytes, options), options);
      break;
    } catch (error) {
      failures = part.bytes > before ? 0 : failures + 1;
      if (options.signal?.aborted === true || failures >= ATTEMPTS || error instanceof Refusal) throw error;
    }
  }
  if (part.sha256() === source.sha256) return true;
  await part.clear();
  return false;
}

/** Asking again would change nothing. */
class Refusal extends Error {}

async function answerFrom(web: Web, { url }: RemoteFile, from: number, { signal }: DownloadOptions): Promise<Response> {
  const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
  const answer = await ask(web, url, { headers, ...(signal && { signal }) });
  // There is nothing behind what is here already.
  if (answer.ok || (from > 0 && answer.status === 416)) return answer;
  await answer.body?.cancel();
  throw new Refusal(`${shownUrl(url)} is answered with ${answer.status} ${answer.statusText}.`);
}

/** What has come so far. */
class Part {
  readonly #file: FileHandle;
  #hash: Hash = createHash("sha256");
  bytes = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async of(file: FileHandle): Promise<Part> {
    const part = new Part(file);
    const { size } = await file.stat();
    if (size === 0) return part;
    for await (const chunk of file.createReadStream({ autoClose: false, start: 0, end: size - 1 }))
      part.#count(chunk as Buffer);
    return part;
  }

  /** Adds what an answer brings. */
  async take(answer: Response, { onProgress }: DownloadOptions): Promise<void> {
    if (answer.status === 416) return void (await answer.body?.cancel());
    // A server that does not know ranges begins anew, and so does one that begins elsewhere.
    const [, start] = /^bytes (\d+)-/.exec(answer.headers.get("content-range") ?? "") ?? [];
    if (answer.status !== 206 || Number(start) !== this.bytes) await this.clear();
    if (answer.status === 206 && Number(start) !== this.bytes) {
      await answer.body?.cancel();
      throw new Error("The server answers with another range than was asked for.");
    }
    const length = answer.headers.get("content-length");
    const total = length === null ? null : this.bytes + Number(length);
    try {
      for await (const chunk of answer.body ?? []) {
        await this.#add(chunk as Uint8Array);
        onProgress?.(this.bytes, total);
      }
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Error(`The connection to ${new URL(answer.url).host} broke: ${whyOf(error)}.`, { cause: error });
    }
    if (total !== null && this.bytes < total)
      throw new Error(`The connection to ${new URL(answer.url).host} ended after ${this.bytes} of ${total} bytes.`);
  }

  sha256(): string {
    return this.#hash.copy().digest("hex");
  }

  async clear(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash("sha256");
    this.bytes = 0;
  }

  async #add(chunk: Uint8Array): Promise<void> {
    try {
      await this.#file.appendFile(chunk);
    } catch (error) {
      // A full disk is not mended by asking again.
      throw new Refusal(`What comes cannot be written: ${messageOf(error)}.`, { cause: error });
    }
    this.#count(chunk);
  }

  #count(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }
}
