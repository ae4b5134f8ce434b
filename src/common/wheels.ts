/**
 * Files of PyPI, without Python: which wheels there are, by an index's "simple" API (PEP 691, or its HTML of PEP 503), and one of them,
 * checked. A wheel is a ZIP archive, see zip.ts.
 */
import { type Response } from "undici";
import { messageOf } from "../errors.ts";
import { download, type DownloadOptions } from "./download.ts";
import { pipSettings } from "./pip-settings.ts";
import { ask, openWeb, shownUrl, type Web } from "./web.ts";

export interface Wheel {
  readonly project: string;
  readonly version: string;
  readonly filename: string;
  readonly url: string;
  /** In hexadecimal digits. */
  readonly sha256: string;
  /** null: the index does not say. */
  readonly bytes: number | null;
}

export interface WantedWheel {
  /** Its name on PyPI, like "nvidia-cublas". */
  readonly project: string;
  /** The numbers with which its version begins, like "13.1"; the highest of several is taken. */
  readonly version: string;
  /** Of its file's platform tag, like /_x86_64$/. */
  readonly platform: RegExp;
}

/** An index's entry for one file. */
interface IndexFile {
  readonly filename: string;
  readonly url: string;
  readonly sha256: string | null;
  readonly bytes: number | null;
  readonly yanked: boolean;
}

/** Bytes. The largest projects have some 10 MB. */
const LARGEST_PAGE = 64 * 2 ** 20;

/** The indexes of this machine's pip. */
export class WheelIndex {
  readonly #web: Web;
  readonly #indexes: readonly string[];

  /** @throws {Error} when the file of certificates cannot be read */
  constructor(environment: NodeJS.ProcessEnv) {
    const { indexes, certificates } = pipSettings(environment);
    this.#web = openWeb(environment, certificates);
    this.#indexes = indexes;
  }

  /** @throws {Error} one sentence: no index has it, with what each said */
  async find(wanted: WantedWheel, signal?: AbortSignal): Promise<Wheel> {
    const said: string[] = [];
    const found: Wheel[] = [];
    for (const index of this.#indexes) {
      const page = `${index.replace(/\/+$/, "")}/${wanted.project}/`;
      try {
        const files = filesOf(await this.#read(page, signal), page);
        const wheels = files.flatMap((file) => wheelOf(file, wanted));
        if (wheels.length === 0) said.push(`${shownUrl(page)} has none that fits`);
        found.push(...wheels);
      } catch (error) {
        signal?.throwIfAborted();
        said.push(messageOf(error).replace(/\.$/, ""));
      }
    }
    const best = found.toSorted((a, b) => byVersion(b.version, a.version))[0];
    if (best === undefined)
      throw new Error(`No index has a wheel of ${wanted.project} ${wanted.version}: ${said.join("; ")}.`);
    return best;
  }

  /** Fetches it to `path`, as `download` does, with its promises and errors. */
  fetch({ url, sha256 }: Wheel, path: string, options?: DownloadOptions): Promise<void> {
    return download(this.#web, { url, sha256 }, path, options);
  }

  close(): Promise<void> {
    return this.#web.close();
  }

  async #read(page: string, signal?: AbortSignal): Promise<{ text: string; isJson: boolean }> {
    const accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";
    const answer = await ask(this.#web, page, { headers: { accept }, ...(signal && { signal }) });
    const text = await textOf(answer);
    if (!answer.ok) throw new Error(`${shownUrl(page)} is answered with ${answer.status}`);
    return { text, isJson: /json/.test(answer.headers.get("content-type") ?? "") };
  }
}

async function textOf(answer: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of answer.body ?? []) {
    bytes += (piece as Uint8Array).length;
    if (bytes > LARGEST_PAGE) throw new Error(`${answer.url} is larger than any index`);
    pieces.push(piece as Uint8Array);
  }
  return Buffer.concat(pieces).toString("utf8");
}

interface JsonIndex {
  readonly files?: readonly {
    readonly filename: string;
    readonly url: string;
    readonly hashes?: { readonly sha256?: string };
    readonly size?: number;
    readonly yanked?: boolean | string;
  }[];
}

/** Addresses are relative to the page. An address with credentials leads to files that need them, too. */
function filesOf({ text, isJson }: { text: string; isJson: boolean }, page: string): IndexFile[] {
  if (!isJson) return [...text.matchAll(/<a\s([^>]*)>\s*([^<]*?)\s*<\/a>/gi)].map((link) => linkedFile(link, page));
  const { files = [] } = JSON.parse(text) as JsonIndex;
  return files.map(({ filename, url, hashes, size, yanked }) => ({
    filename,
    url: absolute(url, page),
    sha256: hashes?.sha256 ?? null,
    bytes: size ?? null,
    yanked: yanked !== undefined && yanked !== false,
  }));
}

function linkedFile([, attributes = "", filename = ""]: RegExpExecArray, page: string): IndexFile {
  const [, href = ""] = /href\s*=\s*["']([^"']*)["']/i.exec(attributes) ?? [];
  const [url = "", fragment = ""] = href.replaceAll("&amp;", "&").split("#", 2);
  return {
    filename,
    url: absolute(url, page),
    sha256: /^sha256=([0-9a-f]{64})$/i.exec(fragment)?.[1] ?? null,
    bytes: null,
    yanked: /data-yanked/i.test(attributes),
  };
}

function absolute(url: string, page: string): string {
  const base = new URL(page);
  const whole = new URL(url, base);
  if (whole.host === base.host && whole.username === "") {
    whole.username = base.username;
    whole.password = base.password;
  }
  return whole.href;
}

/** File names: https://packaging.python.org/en/latest/specifications/binary-distribution-format/. Only released versions are taken. */
function wheelOf(file: IndexFile, { project, version: wanted, platform }: WantedWheel): Wheel[] {
  const { filename, url, sha256, bytes, yanked } = file;
  const [, version, tag] =
    /^[^-]+-(\d+(?:\.\d+)*(?:\.post\d+)?)(?:-\d[^-]*)?-[^-]+-[^-]+-([^-]+)\.whl$/.exec(filename) ?? [];
  if (version === undefined || tag === undefined || yanked || sha256 === null) return [];
  const fits = `${version}.`.startsWith(`${wanted}.`) && tag.split(".").some((one) => platform.test(one));
  return fits ? [{ project, version, filename, url, sha256: sha256.toLowerCase(), bytes }] : [];
}

/** Negative: `a` is the older one. */
function byVersion(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
