/**
 * The meaning of a model's source, as a configuration, a command or a request writes it. No file is looked at and nobody is asked.
 *
 *   ./models/a.gguf                               path
 *   hf:owner/repo/file.gguf[@revision]            one file of a repository of the hub (or one part of a split model, for all of them)
 *   hf:owner/repo[:quantization][@revision]       the file of a repository that has this quantization
 *   https://host/file.gguf                        url
 *   smollm2-135m                                  table
 */
import { posix, win32 } from "node:path";
import { withoutPart } from "../common/gguf.ts";
import { shown } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";
import { TABLE } from "./table.ts";

/** Where a model comes from. */
export type ModelSource = PathSource | HubSource | UrlSource | TableSource;

/** A file of this machine, as the source writes it: relative to the folder of the process. */
export interface PathSource {
  readonly kind: "path";
  readonly path: string;
}

/** A repository of the Hugging Face hub, or of another server that speaks its protocol (`HF_ENDPOINT`). */
export interface HubSource {
  readonly kind: "hub";
  /** Like `owner/repo`. */
  readonly repo: string;
  /** Path of a GGUF file in the repository; null: the quantization says which. */
  readonly file: string | null;
  /** As files are named by it, like `Q4_K_M`, in any case; null: the usual one. Always null beside a file. */
  readonly quantization: string | null;
  /** A branch, a tag or a commit; null: the branch `main`. */
  readonly revision: string | null;
}

/** A file of any other server. */
export interface UrlSource {
  readonly kind: "url";
  readonly url: string;
}

/** A name of `models/table.json`. */
export interface TableSource {
  readonly kind: "table";
  readonly name: string;
}

/** Names of a model: 1 to 128 of these. */
const MAX_NAME = 128;
const FOREIGN_TO_NAMES = /[^a-z0-9._:/-]+/gi;

const REPO = /^[a-z0-9][\w.-]*\/[a-z0-9][\w.-]*$/i;
const QUANTIZATION = /^[a-z0-9][\w.-]*$/i;
const REVISION = /^\w[\w./-]*$/;
/** How the hub's own pages name a file. */
const HUB_PAGE = /^\/([^/]+\/[^/]+)\/(?:resolve|blob)\/([^/]+)\/(.+\.gguf)$/i;
const HUB_HOSTS = new Set(["huggingface.co", "www.huggingface.co", "hf.co"]);
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** @throws {AltLasError} `invalid_input`, with what is allowed */
export function parseSource(text: string): ModelSource {
  // A line break in a path or in an address is nothing that anybody wants.
  const isPlain = text !== "" && text.trim() === text && !/\p{Cc}/u.test(text);
  if (!isPlain) throw refusal(text, "is no source of a model");
  if (/^hf:/i.test(text)) return hubSource(text);
  if (/^https?:/i.test(text)) return urlSource(text);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text)) throw refusal(text, "has a scheme that is not fetched from");
  if (TABLE.models.some(({ name }) => name === text)) return { kind: "table", name: text };
  if (/[/\\]/.test(text) || /\.gguf$/i.test(text)) return { kind: "path", path: text };
  const known = TABLE.models.map(({ name }) => name).join(", ");
  throw refusal(text, `is no name of the table, which has ${known}`);
}

function hubSource(text: string): HubSource {
  const { body, revision } = /^(?<body>[^@]*)(?:@(?<revision>.*))?$/.exec(text.slice("hf:".length))!.groups!;
  const [owner = "", name = "", ...inside] = body!.split("/");
  const [repoName = "", ...tags] = inside.length === 0 ? name.split(":") : [name];
  const source: HubSource = {
    kind: "hub",
    repo: `${owner}/${repoName}`,
    file: inside.length === 0 ? null : inside.join("/"),
    quantization: tags.length === 0 ? null : tags.join(":"),
    revision: revision ?? null,
  };
  const { repo, file, quantization } = source;
  if (!REPO.test(repo) || repo.includes("..")) throw refusal(text, "does not name a repository");
  if (file !== null && !/\.gguf$/i.test(file)) throw refusal(text, "names a file that is no GGUF file");
  if (file !== null && !isInside(file)) throw refusal(text, "names a file outside of its repository");
  if (quantization !== null && !QUANTIZATION.test(quantization)) throw refusal(text, "has a malformed quantization");
  const isRevision = revision === undefined || (REVISION.test(revision) && isInside(revision));
  if (!isRevision) throw refusal(text, "has a malformed revision");
  return source;
}

function urlSource(text: string): ModelSource {
  const url = URL.parse(text);
  if (url === null || url.hostname === "") throw refusal(text, "is a malformed URL");
  // The text is shown to others and stored.
  if (url.username !== "" || url.password !== "") throw refusal("(a URL)", "has a password in it, which nobody may see");
  if (url.protocol === "http:" && !LOOPBACK.has(url.hostname)) throw refusal(text, "is not encrypted; use https");
  url.hash = "";
  const page = HUB_HOSTS.has(url.hostname) ? HUB_PAGE.exec(decoded(url.pathname)) : null;
  if (page === null) return { kind: "url", url: url.href };
  const [, repo = "", revision = "", file = ""] = page;
  return hubSource(`hf:${repo}/${file}${revision === "main" ? "" : `@${revision}`}`);
}

/** Whether a path with slashes names something in the folder that it is relative to, on every system. */
export function isInside(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:\0]/.test(part));
}

/** The source in the words that `parseSource` reads. */
export function sourceText(source: ModelSource): string {
  switch (source.kind) {
    case "path":
      return source.path;
    case "hub": {
      const { repo, file, quantization, revision } = source;
      const what = file === null ? (quantization === null ? "" : `:${quantization}`) : `/${file}`;
      return `hf:${repo}${what}${revision === null ? "" : `@${revision}`}`;
    }
    case "url":
      return source.url;
    case "table":
      return source.name;
  }
}

/**
 * The name that requests call a model of this source by, where no configuration names it: 1 to 128 of letters, digits and `. _ : / -`. Of a
 * file it is the file's name; of a repository that of the repository, with the quantization where one was asked for.
 */
export function shortNameOf(source: ModelSource): string {
  const name = plainNameOf(source).replace(FOREIGN_TO_NAMES, "-").slice(0, MAX_NAME);
  return name === "" ? "model" : name;
}

function plainNameOf(source: ModelSource): string {
  switch (source.kind) {
    case "path":
      return withoutPart(posix.basename(win32.basename(source.path)));
    case "hub": {
      const { repo, file, quantization } = source;
      if (file !== null) return withoutPart(posix.basename(file)).toLowerCase();
      const name = posix.basename(repo).replace(/[-_.]gguf$/i, "");
      return (quantization === null ? name : `${name}:${quantization}`).toLowerCase();
    }
    case "url":
      return withoutPart(posix.basename(decoded(new URL(source.url).pathname))).toLowerCase();
    case "table":
      return source.name;
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function refusal(text: string, why: string): AltLasError {
  const allowed =
    "a path of a .gguf file, hf:<owner>/<repo>/<file>.gguf[@revision], hf:<owner>/<repo>[:<quantization>], an https URL, or a name of the table";
  return new AltLasError("invalid_input", `The source ${shown(text)} ${why}. A source is ${allowed}.`);
}
