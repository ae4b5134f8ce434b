/**
 * The documentation as browsers get it. There is no build: sources are read when the first browser asks, and each page is made when it is
 * asked for, so that neither the start nor the tasks of the server wait for it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Asset, assetOf } from "../common/asset.ts";
import { htmlText } from "../common/html-text.ts";
import { addressOf, linkTo, targetOf } from "./addresses.ts";
import { contentsOf, type Group } from "./contents.ts";
import { type Document, toHtml } from "./markdown.ts";
import { pageHtml } from "./page.ts";
import { sectionsOf } from "./sections.ts";
import { CONTENTS, readSources } from "./sources.ts";
import type { Language } from "../words/language.ts";
import { inLanguage } from "../words/words.ts";

export interface Site {
  /** All that is there, below `/docs/`. */
  readonly addresses: readonly string[];
  /** @returns null: nothing is there */
  get(address: string): Promise<Asset | null>;
}

const ROOT = join(import.meta.dirname, "../..");

/** Files that all pages need, by address, with their paths in src. */
const SHARED: Readonly<Record<string, string>> = {
  "site/docs.css": "docs/files/docs.css",
  "site/search.js": "docs/files/search.js",
  "site/base.css": "dashboard/files/base.css",
  "site/early.js": "dashboard/files/early.js",
  "site/icon.svg": "dashboard/files/icon.svg",
};

/**
 * @param root the folder of the repository, or of the package
 * @throws when the pages are not there: the installation is damaged
 */
export async function readSite(root = ROOT): Promise<Site> {
  const { documents, texts, pictures } = await readSources(root);
  const isThere = new Set([...documents.keys(), ...texts, ...pictures]);
  const groups = contentsOf(documents.get(CONTENTS)!, CONTENTS, isThere);
  const assets = new Map<string, () => Promise<Asset>>();
  for (const [path, document] of documents)
    assets.set(addressOf(path), () => made("page.html", documentPage(path, document, groups, isThere)));
  for (const path of texts)
    assets.set(addressOf(path), async () =>
      made("page.html", textPage(path, await readFile(join(root, path), "utf8"), groups)),
    );
  for (const path of pictures) assets.set(addressOf(path), () => fromDisk(join(root, path)));
  for (const [address, path] of Object.entries(SHARED))
    assets.set(address, () => fromDisk(join(import.meta.dirname, "..", path)));
  assets.set("site/search.json", () => made("search.json", searchIndex(documents)));
  assets.set("", assets.get(addressOf(CONTENTS))!);
  return { addresses: [...assets.keys()], get: onceEach(assets) };
}

/** Makes what is asked for once, and keeps it. */
function onceEach(makers: ReadonlyMap<string, () => Promise<Asset>>): Site["get"] {
  const ready = new Map<string, Asset>();
  return async (address) => {
    const asset = ready.get(address) ?? (await makers.get(address)?.()) ?? null;
    if (asset !== null) ready.set(address, asset);
    return asset;
  };
}

function made(name: string, text: string): Promise<Asset> {
  return assetOf(name, Buffer.from(text));
}

async function fromDisk(path: string): Promise<Asset> {
  return assetOf(path, await readFile(path));
}

function documentPage(
  path: string,
  document: Document,
  groups: readonly Group[],
  isThere: ReadonlySet<string>,
): string {
  const address = addressOf(path);
  const language = languageOf(path);
  const resolve = (href: string): string | null => {
    const target = targetOf(path, href);
    if (target === null) return href;
    if (!isThere.has(target.path)) return null;
    return linkTo(address, addressOf(target.path)) + (target.anchor === "" ? "" : `#${target.anchor}`);
  };
  const body = toHtml(document, resolve, inLanguage(language, "Link to this part"));
  const { title, headings } = document;
  const twin = twinOf(path);
  const other = isThere.has(twin) ? { address: addressOf(twin), language: languageOf(twin) } : null;
  return pageHtml({ address, language, title, headings, body, other }, groups);
}

/** `docs/tr/api.md` and `README.tr.md` are Turkish. */
function languageOf(path: string): Language {
  return /^docs\/tr\/|\.tr\.md$/.test(path) ? "tr" : "en";
}

/** Where a page would be in the other language. */
function twinOf(path: string): string {
  if (languageOf(path) === "tr") return path.replace("docs/tr/", "docs/").replace(".tr.md", ".md");
  return path.startsWith("docs/") ? path.replace("docs/", "docs/tr/") : path.replace(/\.md$/, ".tr.md");
}

function textPage(path: string, text: string, groups: readonly Group[]): string {
  const body = `<h1>${htmlText(path)}</h1>\n<pre tabindex="0"><code>${htmlText(text)}</code></pre>`;
  return pageHtml({ address: addressOf(path), language: "en", title: path, headings: [], body, other: null }, groups);
}

/** The page that groups the others would be found for each of them. */
function searchIndex(documents: ReadonlyMap<string, Document>): string {
  const searched = [...documents].filter(([path]) => path !== CONTENTS);
  const sections = searched.flatMap(([path, document]) => sectionsOf(addressOf(path), languageOf(path), document));
  return JSON.stringify(sections);
}
