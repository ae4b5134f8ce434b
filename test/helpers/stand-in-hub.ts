/**
 * A hub on loopback with one repository, which sends files from a storage of another host, as the real one does, and fails on demand.
 *
 *     const hub = await startHub(t, { "a-Q4_K_M.gguf": gguf("a", 100_000) });
 *     hub.faults.push(cutAfter(40_000));
 *     await hub.fetch("hf:owner/repo");
 */
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FetchedModel, fetchModel, type FetchOptions, findModel } from "../../src/models/fetch.ts";
import { parseSource } from "../../src/models/source.ts";
import { type Owner } from "./server-handle.ts";

/** Answers a request for a file in the place of the storage. @param from where the wanted range begins */
export type Fault = (response: ServerResponse, file: Buffer, from: number) => void;

/** What was asked of the hub or its storage. */
export interface Asked {
  readonly host: "hub" | "storage";
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

export const COMMIT = "0123456789abcdef0123456789abcdef01234567";

/** Begins as a GGUF file does; the rest differs for each seed. */
export function gguf(seed: string, bytes: number): Buffer {
  const block = createHash("sha256").update(seed).digest();
  const file = Buffer.alloc(bytes, block);
  file.write("GGUF");
  return file;
}

export function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function cutAfter(bytes: number): Fault {
  return (response, file, from) => {
    sendHead(response, file, from);
    response.write(file.subarray(from, from + bytes), () => response.destroy());
  };
}

export function refuse(status: number, headers: Record<string, string> = {}): (response: ServerResponse) => void {
  return (response) => void response.writeHead(status, headers).end();
}

export function sendHead(response: ServerResponse, file: Buffer, from: number): void {
  const range = from > 0 && { "content-range": `bytes ${from}-${file.length - 1}/${file.length}` };
  response.writeHead(from > 0 ? 206 : 200, { etag: etagOf(file), "content-length": file.length - from, ...range });
}

export function etagOf(file: Buffer): string {
  return `"${sha256Of(file).slice(0, 32)}-1"`;
}

export async function startHub(owner: Owner, files: Record<string, Buffer>): Promise<StandInHub> {
  const hub = new StandInHub(files);
  owner.after(() => hub.stop());
  await hub.start();
  return hub;
}

export class StandInHub {
  readonly files: Record<string, Buffer>;
  commit = COMMIT;
  licence = "apache-2.0";
  /** The only one that exists. */
  repo = "owner/repo";
  /** An old name of the repository, from which there is a redirect. */
  oldRepo: string | null = null;
  /** What the hub says of a file's SHA-256, where that is not true. */
  readonly said: Record<string, string> = {};
  /** Each answers one request for a file, in their order. */
  readonly faults: Fault[] = [];
  /** Each answers one request for a file in the place of the hub, which else redirects to the storage. */
  readonly refusals: ((response: ServerResponse) => void)[] = [];
  /** Each answers one question about the repository, in their order. */
  readonly hubFaults: ((response: ServerResponse) => void)[] = [];
  readonly asked: Asked[] = [];
  /** Of its client. */
  readonly environment: NodeJS.ProcessEnv;
  readonly folder = mkdtempSync(join(tmpdir(), "alt-las-hub-"));
  readonly #events = new EventEmitter();
  readonly #hub: Server;
  readonly #storage: Server;

  constructor(files: Record<string, Buffer>) {
    this.files = files;
    this.#hub = createServer((request, response) => this.#answerHub(request, response));
    this.#storage = createServer((request, response) => this.#answerStorage(request, response));
    this.environment = { HOME: this.folder, HF_HUB_CACHE: join(this.folder, "hub") };
  }

  async start(): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    }
    this.environment.HF_ENDPOINT = addressOf(this.#hub);
  }

  stop(): void {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  get storage(): string {
    return addressOf(this.#storage);
  }

  /** A path in the folder of the repository in the cache. */
  cached(...path: string[]): string {
    return join(this.folder, "hub", `models--${this.repo.replace("/", "--")}`, ...path);
  }

  /** The requests for files that reached the storage. */
  get downloads(): readonly Asked[] {
    return this.asked.filter(({ host }) => host === "storage");
  }

  /** Fetches with little patience. */
  async fetch(source: string, options: Partial<FetchOptions> = {}): Promise<FetchedModel> {
    return fetchModel(parseSource(source), {
      environment: this.environment,
      signal: new AbortController().signal,
      onProgress: () => {},
      ...options,
      limits: {
        patience: { answer: 20_000, stall: 20_000, document: 20_000, pause: 1, longestPause: 1000, tries: 3 },
        look: 5,
        ...options.limits,
      },
    });
  }

  async find(source: string): Promise<FetchedModel | null> {
    return findModel(parseSource(source), this.environment);
  }

  /** Resolves when so much was asked. */
  async whenAsked(holds: (asked: readonly Asked[]) => boolean): Promise<void> {
    while (!holds(this.asked)) await once(this.#events, "asked");
  }

  #note(asked: Asked): void {
    this.asked.push(asked);
    this.#events.emit("asked");
  }

  #answerHub(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url!;
    this.#note({ host: "hub", path, headers: request.headers });
    const [, repo, revision] = /^\/api\/models\/(.+)\/revision\/([^?]+)\?blobs=true$/.exec(path) ?? [];
    if (repo !== undefined) {
      const fault = this.hubFaults.shift();
      if (fault !== undefined) return fault(response);
      if (repo === this.oldRepo) return redirect(response, path.replace(repo, this.repo));
      if (repo !== this.repo) return void response.writeHead(404, { "x-error-code": "RepoNotFound" }).end();
      if (![this.commit, "main"].includes(revision!)) {
        return void response.writeHead(404, { "x-error-code": "RevisionNotFound" }).end();
      }
      return void response.end(JSON.stringify(this.#revision()));
    }
    const refusal = this.refusals.shift();
    if (refusal !== undefined) return refusal(response);
    redirect(response, `${this.storage}${path}`);
  }

  #revision() {
    const siblings = Object.entries(this.files).map(([rfilename, file]) => {
      const sha256 = this.said[rfilename] ?? sha256Of(file);
      return { rfilename, size: file.length, blobId: sha256.slice(0, 40), lfs: { sha256, size: file.length } };
    });
    return { sha: this.commit, siblings, cardData: { license: this.licence }, gated: false };
  }

  #answerStorage(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(request.url!.split("?")[0]!);
    this.#note({ host: "storage", path, headers: request.headers });
    const file = this.files[path.replace(/^.*\/resolve\/[^/]+\//, "").replace(/^\//, "")];
    if (file === undefined) return void response.writeHead(404).end();
    const isSame = request.headers["if-range"] === undefined || request.headers["if-range"] === etagOf(file);
    const from = isSame ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
    const fault = this.faults.shift();
    if (fault !== undefined) return fault(response, file, from);
    if (from >= file.length) return void response.writeHead(416, { "content-range": `bytes */${file.length}` }).end();
    sendHead(response, file, from);
    response.end(file.subarray(from));
  }
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(307, { location }).end();
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
