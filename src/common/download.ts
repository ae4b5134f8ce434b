/**
 * Brings one file over HTTP to its place, so that a file under its final name is always whole.
 *
 *  1. Bytes that an earlier run left are hashed. The rest is asked for with `Range`, and with `If-Range` where the server's mark for the
 *     version is known. Without a mark only a known SHA-256 could tell a mix of two versions; without both, it begins anew.
 *  2. Bytes are hashed while they are written. A server that begins anew (200 for a range) is followed.
 *  3. A connection that breaks off, and a server that says "later", are tried again from where it stands.
 *  4. The whole file must have the size and the SHA-256 that are known, and the right first bytes. Else it is removed; if a part was of an
 *     earlier run, that one may be to blame, so all of it is fetched once more.
 *  5. It is on disk before it gets its final name.
 *
 * When it is aborted, or fails on the way, what came stays for the next run.
 */
import { dirname } from "node:path";
import { AltLasError } from "../errors.ts";
import { diskFault, noRoom } from "./disk-faults.ts";
import { PartialFile } from "./partial-file.ts";
import { Setback, setbackOf, shownUrl, type Web, type WebAnswer } from "./web.ts";

/** Is told how far a file is. */
export interface Progress {
  /** The bytes that it has now, those of an earlier run included. @param total null: the server has not told it */
  at(bytes: number, total: number | null): void;
  /** Bytes that came just now. */
  received?(bytes: number): void;
}

/** The tools of a download. */
export interface Tools {
  readonly web: Web;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Bytes that may still be written into a folder. */
  readonly roomIn: (folder: string) => Promise<number>;
}

/** A file to fetch. */
export interface Download {
  readonly url: string;
  /** The value of `Authorization` for the host of `url`; null: none. */
  readonly authorization: string | null;
  /** Where it grows, in the folder's file system of `target`. */
  readonly partial: string;
  readonly target: string;
  /** null: the server will tell. */
  readonly bytes: number | null;
  /** null: nobody knows it. */
  readonly sha256: string | null;
  readonly format: Format;
  /** The failure that an answer other than 200 and 206 means. */
  readonly refusal: (answer: WebAnswer) => AltLasError;
}

/** How the first bytes show that a file is of the kind that was wanted. */
export interface Format {
  readonly magic: string;
  /** Like `a GGUF file`. */
  readonly name: string;
}

export interface Downloaded {
  readonly bytes: number;
  readonly sha256: string;
  readonly etag: string | null;
}

/**
 * A server that tells no size may send without end: each time that so many bytes have come, there must be room for some more. The
 * server's own data may be on the same disk.
 */
const UNKNOWN_SIZE = { look: 16 * 2 ** 20, spare: 256 * 2 ** 20 };

/** @throws {AltLasError} `model_fetch_failed`; the reason of the signal when that aborts */
export async function download(job: Download, tools: Tools): Promise<Downloaded> {
  try {
    await using file = await PartialFile.open(job.partial, job.bytes, tools.signal);
    // Bytes that another file has left are not worth going on from.
    if (file.position > 0 && (await startOf(job, file)) !== job.format.magic) await file.restart();
    tools.progress.at(file.position, job.bytes);
    return await tools.web.persist(tools.signal, async (began) => {
      // A file that an earlier run left whole is only checked.
      if (job.bytes === null || file.position < job.bytes) await receive(job, file, tools, began);
      await check(job, file);
      const { position: bytes, sha256, etag } = file;
      await file.finish(job.target);
      return { bytes, sha256, etag };
    });
  } catch (error) {
    throw diskFault(error, dirname(job.target)) ?? error;
  }
}

async function receive(job: Download, file: PartialFile, tools: Tools, began: () => void): Promise<void> {
  const answer = await ask(job, file, tools);
  const total = totalOf(answer, file.position) ?? job.bytes;
  try {
    if (job.bytes !== null && total !== job.bytes) throw otherSize(job, total ?? 0);
    await checkRoom(job, total === null ? 0 : total - file.position, tools);
    const { etag } = answer.headers;
    if (file.etag === null && typeof etag === "string") await file.mark(etag);
    let isChecked = false;
    let looked = file.position;
    for await (const piece of answer.body as AsyncIterable<Buffer>) {
      if (file.position + piece.length > (total ?? Infinity)) throw otherSize(job, file.position + piece.length);
      await file.append(piece);
      began();
      tools.progress.received?.(piece.length);
      tools.progress.at(file.position, total);
      if (total === null && file.position - looked >= UNKNOWN_SIZE.look) {
        looked = file.position;
        await checkRoom(job, UNKNOWN_SIZE.spare, tools);
      }
      // A page in the place of a model is not worth fetching to its end.
      if (!isChecked && file.position >= job.format.magic.length) isChecked = await checkFormat(job, file);
    }
  } catch (error) {
    answer.body.destroy();
    throw setbackOf(error, new URL(answer.url), tools.signal);
  }
  if (file.position < (total ?? 0)) throw new Setback(`${new URL(answer.url).host} broke off.`, {});
}

/** @returns an answer whose body begins at the file's position */
async function ask(job: Download, file: PartialFile, { web, signal }: Tools): Promise<WebAnswer> {
  const mark = file.etag !== null && !file.etag.startsWith("W/") ? file.etag : null;
  if (file.position > 0 && mark === null && job.sha256 === null) await file.restart();
  const headers = file.position > 0 && {
    range: `bytes=${file.position}-`,
    ...(mark !== null && { "if-range": mark }),
  };
  const answer = await web.get({ url: job.url, authorization: job.authorization, signal, headers: { ...headers } });
  if (answer.status === 200) {
    if (file.position > 0) await file.restart();
    return answer;
  }
  const isOfThisVersion = mark === null || answer.headers.etag === undefined || answer.headers.etag === mark;
  if (answer.status === 206 && rangeOf(answer)?.from === file.position && isOfThisVersion) return answer;
  await answer.body.dump();
  // 416: the file is shorter than what is here.
  if (answer.status !== 206 && answer.status !== 416) throw job.refusal(answer);
  await file.restart();
  throw new Setback(`${new URL(answer.url).host} does not continue the file.`, {});
}

function totalOf(answer: WebAnswer, position: number): number | null {
  if (answer.status === 206) return rangeOf(answer)?.total ?? null;
  const length = answer.headers["content-length"];
  return typeof length === "string" && /^\d+$/.test(length) ? position + Number(length) : null;
}

/** `Content-Range: bytes 100-199/200` (RFC 9110, 14.4). */
function rangeOf({ headers }: WebAnswer): { readonly from: number; readonly total: number | null } | null {
  const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(headers["content-range"])) ?? [];
  return from === undefined ? null : { from: Number(from), total: total === "*" ? null : Number(total) };
}

async function check(job: Download, file: PartialFile): Promise<void> {
  await checkFormat(job, file);
  const { sha256 } = file;
  if (job.sha256 === null || sha256 === job.sha256) return;
  const sentence = `${shownUrl(job.url)} came with the SHA-256 ${sha256}; it should be ${job.sha256}. It was not kept.`;
  if (file.isResumed) {
    await file.restart();
    throw new Setback(sentence, {});
  }
  await file.remove();
  throw new AltLasError("model_fetch_failed", sentence);
}

async function checkFormat(job: Download, file: PartialFile): Promise<true> {
  const start = await startOf(job, file);
  if (start === job.format.magic) return true;
  await file.remove();
  const shown = /^[ -~]+$/.test(start) ? `"${start}"` : `the bytes ${Buffer.from(start, "latin1").toString("hex")}`;
  const what = start === "" ? "is empty" : `is not ${job.format.name}: it starts with ${shown}`;
  throw new AltLasError("model_fetch_failed", `${shownUrl(job.url)} ${what}. It was not kept.`);
}

async function startOf({ format }: Download, file: PartialFile): Promise<string> {
  return (await file.start(format.magic.length)).toString("latin1");
}

function otherSize({ url, bytes }: Download, got: number): AltLasError {
  const sentence = `${shownUrl(url)} has ${got} bytes${bytes === null ? "" : `; it should have ${bytes}`}.`;
  return new AltLasError("model_fetch_failed", sentence);
}

async function checkRoom({ url, target }: Download, needed: number, { roomIn }: Tools): Promise<void> {
  const free = await roomIn(dirname(target));
  if (free < needed) throw noRoom(shownUrl(url), needed, free, dirname(target));
}
