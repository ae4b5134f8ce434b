/**
 * The facts that the hub tells of a repository, in one request: the commit, its files with their sizes and SHA-256, the licence.
 * https://huggingface.co/docs/hub/api; the fields are those that huggingface_hub's `model_info(files_metadata=True)` reads.
 */
import { isObject, valueIn } from "../common/json-values.ts";
import { AltLasError } from "../errors.ts";
import { endpointOf, tokenOf } from "./environment.ts";
import { type HubSource, isInside, sourceText } from "./source.ts";
import type { Web, WebAnswer } from "../common/web.ts";

/** A repository at one commit. */
export interface HubRevision {
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
  /** Like `apache-2.0`; null: the repository names none. */
  readonly licence: string | null;
}

export interface HubFile {
  /** null: the hub does not tell. */
  readonly bytes: number | null;
  /** null: the file is small, and kept by git itself. */
  readonly sha256: string | null;
  /** The name that the file's content has in the cache: its SHA-256, or git's hash of it. */
  readonly blob: string;
}

export class Hub {
  readonly #web: Web;
  readonly #endpoint: string;
  readonly #token: string | null;

  private constructor(web: Web, endpoint: string, token: string | null) {
    this.#web = web;
    this.#endpoint = endpoint;
    this.#token = token;
  }

  /** @param environment with the hub's address and the key to it */
  static async of(web: Web, environment: NodeJS.ProcessEnv): Promise<Hub> {
    const endpoint = endpointOf(environment);
    if (URL.parse(endpoint) === null) {
      throw new AltLasError("bad_config", `HF_ENDPOINT must be a URL; got ${JSON.stringify(endpoint)}.`);
    }
    return new Hub(web, endpoint, await tokenOf(environment));
  }

  get authorization(): string | null {
    return this.#token === null ? null : `Bearer ${this.#token}`;
  }

  /** @throws {AltLasError} `model_fetch_failed` */
  async revision(source: HubSource, signal: AbortSignal): Promise<HubRevision> {
    const revision = encodeURIComponent(source.revision ?? "main");
    const url = `${this.#endpoint}/api/models/${source.repo}/revision/${revision}?blobs=true`;
    const { answer, text } = await this.#web.text({ url, authorization: this.authorization, signal });
    if (answer.status !== 200) throw this.refusal(source, answer);
    const read = revisionIn(text);
    if (read === null) throw new AltLasError("model_fetch_failed", `${this.#host} does not answer as a hub does.`);
    return read;
  }

  /** Where a file's content is; the commit's never changes. */
  fileUrl(repo: string, commit: string, path: string): string {
    return `${this.#endpoint}/${repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
  }

  /** The failure that an answer of the hub means; a page of the hub's storage has none of its headers. */
  refusal(source: HubSource, { status, headers, url }: WebAnswer): AltLasError {
    const isOfHub = new URL(url).host === this.#host;
    const code = String(headers["x-error-code"] ?? (isOfHub ? "" : "OfStorage"));
    const asked = sourceText(source);
    return new AltLasError("model_fetch_failed", this.#wordsFor(source, asked, status, code));
  }

  #wordsFor({ repo, revision, file }: HubSource, asked: string, status: number, code: string): string {
    const page = `${this.#endpoint}/${repo}`;
    const hasToken = this.#token !== null;
    if (code === "GatedRepo" || (status === 403 && code === "")) {
      const then = hasToken ? "with the account of HF_TOKEN" : "and set HF_TOKEN to a token of your account";
      return `${asked} is only for those who have accepted its licence: accept it at ${page} ${then}.`;
    }
    if (code === "RevisionNotFound") return `${repo} on ${this.#host} has no revision ${revision ?? "main"}.`;
    if (code === "EntryNotFound") return `${repo} on ${this.#host} has no file ${file ?? ""}.`;
    if (code === "OfStorage") return `The storage of ${this.#host} answers ${status} to ${asked}.`;
    if (status === 401) {
      // The hub says the same of a repository that does not exist.
      if (!hasToken) return `${this.#host} has no public repository ${repo}. For a private one, set HF_TOKEN.`;
      return `${this.#host} has no repository ${repo} that HF_TOKEN opens, or does not take that token.`;
    }
    if (status === 404) return `${this.#host} has no repository ${repo} with what ${asked} names (404).`;
    return `${this.#host} answers ${status} to ${asked}.`;
  }

  get #host(): string {
    return new URL(this.#endpoint).host;
  }
}

/** A licence's name; what is longer, or has signs for a terminal in it, is none. */
const LICENCE = /^[\p{L}\p{N} ._+:/()-]{1,128}$/u;

/** null: it is no answer of a hub. */
function revisionIn(text: string): HubRevision | null {
  const value = valueIn(text);
  if (!isObject(value) || typeof value.sha !== "string" || !/^[0-9a-f]{7,64}$/.test(value.sha)) return null;
  const siblings = Array.isArray(value.siblings) ? (value.siblings as unknown[]) : [];
  return { commit: value.sha, files: new Map(siblings.flatMap(fileIn)), licence: licenceIn(value) };
}

/** Names and hashes become names of files here, so they are taken only as what they are. */
function fileIn(value: unknown): [string, HubFile][] {
  if (!isObject(value) || typeof value.rfilename !== "string" || !isInside(value.rfilename)) return [];
  const lfs = isObject(value.lfs) ? value.lfs : {};
  const sha256 = [lfs.sha256, lfs.oid].find((one) => typeof one === "string" && /^[0-9a-f]{64}$/.test(one));
  const blob = sha256 ?? value.blobId;
  if (typeof blob !== "string" || !/^[0-9a-f]{40,64}$/.test(blob)) return [];
  const bytes = [lfs.size, value.size].find((one) => Number.isSafeInteger(one) && (one as number) >= 0);
  return [[value.rfilename, { bytes: (bytes as number) ?? null, sha256: (sha256 as string) ?? null, blob }]];
}

function licenceIn({ cardData, tags }: Readonly<Record<string, unknown>>): string | null {
  const card = isObject(cardData) ? cardData : {};
  const named = card.license === "other" && typeof card.license_name === "string" ? card.license_name : card.license;
  const first = Array.isArray(named) ? (named as unknown[])[0] : named;
  const tag = Array.isArray(tags) ? tags.find((one) => String(one).startsWith("license:")) : undefined;
  const name = typeof first === "string" ? first : tag === undefined ? "" : String(tag).slice("license:".length);
  return LICENCE.test(name) ? name : null;
}
