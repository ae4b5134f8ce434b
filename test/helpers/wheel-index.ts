/** A stand-in for an index of Python packages, on loopback, that can be told to misbehave. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { type Owner } from "./server.ts";

export interface IndexedFile {
  readonly project: string;
  readonly filename: string;
  readonly content: Buffer;
  readonly yanked?: boolean;
  /** Told instead of its own. */
  readonly sha256?: string;
}

export interface WheelIndexStandIn {
  /** For PIP_INDEX_URL. */
  readonly url: string;
  /** Paths that were asked for, with the range. */
  readonly asked: string[];
  /** Taken off before each answer to a file. */
  readonly cuts: Cut[];
}

/** How a connection breaks: after so many bytes, and not before a promise is kept, as that the client has them. */
export interface Cut {
  readonly bytes: number;
  readonly after?: Promise<void>;
}

export interface WheelIndexOptions {
  readonly html?: boolean;
  /** Answers every file from its first byte. */
  readonly noRanges?: boolean;
  /** "name:password", without which it answers 401. */
  readonly login?: string;
}

export async function wheelIndex(
  owner: Owner,
  files: readonly IndexedFile[],
  options: WheelIndexOptions = {},
): Promise<WheelIndexStandIn> {
  const asked: string[] = [];
  const cuts: Cut[] = [];
  const server = createServer((request, response) => {
    const { url = "", headers } = request;
    asked.push(`${url}${headers.range === undefined ? "" : ` ${headers.range}`}`);
    const login = `Basic ${Buffer.from(options.login ?? "").toString("base64")}`;
    if (options.login !== undefined && headers.authorization !== login) return void response.writeHead(401).end();
    const file = files.find(({ filename }) => url === `/files/${filename}`);
    if (file !== undefined) return sendFile(file.content, request, response, cuts.shift(), options);
    const project = /^\/simple\/([^/]+)\/$/.exec(url)?.[1];
    const own = files.filter((one) => one.project === project);
    if (own.length === 0) return void response.writeHead(404).end();
    response.setHeader("content-type", options.html ? "text/html" : "application/vnd.pypi.simple.v1+json");
    response.end(options.html ? htmlOf(own) : jsonOf(own));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  owner.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const login = options.login === undefined ? "" : `${options.login}@`;
  return { url: `http://${login}127.0.0.1:${port}/simple`, asked, cuts };
}

function sendFile(
  content: Buffer,
  { headers: { range } }: IncomingMessage,
  response: ServerResponse,
  cut: Cut | undefined,
  { noRanges = false }: WheelIndexOptions,
): void {
  const from = noRanges ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  if (from > 0 && from >= content.length) return void response.writeHead(416).end();
  if (from > 0) response.setHeader("content-range", `bytes ${from}-${content.length - 1}/${content.length}`);
  response.writeHead(from > 0 ? 206 : 200, { "content-length": content.length - from });
  if (cut === undefined) return void response.end(content.subarray(from));
  response.write(
    content.subarray(from, from + cut.bytes),
    () => void (cut.after ?? Promise.resolve()).then(() => response.destroy()),
  );
}

function sha256Of({ sha256, content }: IndexedFile): string {
  return sha256 ?? createHash("sha256").update(content).digest("hex");
}

function jsonOf(files: readonly IndexedFile[]): string {
  return JSON.stringify({
    files: files.map((file) => ({
      filename: file.filename,
      url: `../../files/${file.filename}`,
      hashes: { sha256: sha256Of(file) },
      size: file.content.length,
      yanked: file.yanked ?? false,
    })),
  });
}

function htmlOf(files: readonly IndexedFile[]): string {
  const links = files.map(
    (file) =>
      `<a href="../../files/${file.filename}#sha256=${sha256Of(file)}"${file.yanked ? ' data-yanked=""' : ""}>${file.filename}</a><br/>`,
  );
  return `<!DOCTYPE html><html><body>\n${links.join("\n")}\n</body></html>`;
}
