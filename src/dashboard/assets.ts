/**
 * The dashboard's files as browsers get them: read, compressed and hashed once, when the first browser asks. There is no build: the modules
 * in files/ go out as they are, and the libraries as npm installed them. All lie under one folder named by the hash of them all, so that a
 * browser may keep them for ever and never mixes those of two versions.
 */
import { hash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Asset, assetOf, TYPES } from "../common/asset.ts";
import { htmlText } from "../common/html-text.ts";

export interface Assets {
  /** The folder of the files: the hash of them all. */
  readonly version: string;
  /** The page at `/`. */
  readonly page: Asset;
  /** The Content-Security-Policy of the page. */
  readonly policy: string;
  /** By path below the folder. */
  readonly files: ReadonlyMap<string, Asset>;
}

const FOLDER = join(import.meta.dirname, "files");

/** The libraries, by what modules call them. */
const LIBRARIES: Readonly<Record<string, string>> = {
  preact: "preact",
  "preact/hooks": "preact/hooks",
  htm: "htm",
  "htm/preact": "htm/preact",
  "@preact/signals-core": "@preact/signals-core",
  "@preact/signals": "@preact/signals",
  "eventsource-parser": "eventsource-parser",
  uplot: "uplot/dist/uPlot.esm.js",
};

const STYLES: Readonly<Record<string, string>> = { "lib/uplot.css": "uplot/dist/uPlot.min.css" };

/**
 * Reads everything.
 * @param isOpen whether nobody has to sign in; the page would else have to find out by a refusal
 * @param issuer what people sign in with, beside keys and passwords; null: nothing
 * @throws when a file is missing: the installation is damaged
 */
export async function readAssets(isOpen: boolean, issuer: string | null): Promise<Assets> {
  const own = (await readdir(FOLDER, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && Object.hasOwn(TYPES, extname(entry.name)))
    .map(({ parentPath, name }) => join(parentPath, name));
  const paths = new Map(own.map((path) => [path.slice(FOLDER.length + 1).replaceAll("\\", "/"), path]));
  for (const [name, specifier] of Object.entries(LIBRARIES)) paths.set(libraryPath(name), installed(specifier));
  for (const [name, specifier] of Object.entries(STYLES)) paths.set(name, installed(specifier));
  const read = await Promise.all(
    Array.from(paths, async ([name, path]) => [name, await assetOf(name, await readFile(path))] as const),
  );
  const files = new Map(read.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const version = hash("sha256", Array.from(files, ([name, { etag }]) => `${name} ${etag}`).join("\n")).slice(0, 16);
  const written = files.get("index.html")!.body.toString();
  const template = isOpen ? written.replace('content="needed"', 'content="open"') : written;
  files.delete("index.html");
  const named = template.replace(
    'name="sign-on" content=""',
    () => `name="sign-on" content="${htmlText(issuer ?? "")}"`,
  );
  const map = importMap(version);
  const page = await assetOf("index.html", Buffer.from(fill(named, version, map, files)));
  return { version, page, policy: policyFor(map), files };
}

function installed(specifier: string): string {
  return fileURLToPath(import.meta.resolve(specifier));
}

function libraryPath(name: string): string {
  return `lib/${name.replaceAll(/[^a-z]+/g, "-").replace(/^-/, "")}.js`;
}

/** Says in the page what bare imports mean. It stands there as text, so the policy allows it by its hash. */
function importMap(version: string): string {
  const imports = Object.keys(LIBRARIES).map((name) => [name, `./dashboard/${version}/${libraryPath(name)}`]);
  return JSON.stringify({ imports: Object.fromEntries(imports) });
}

function fill(template: string, version: string, map: string, files: ReadonlyMap<string, Asset>): string {
  // Without these a browser would find the modules one import after the other.
  const preloads = Array.from(files.keys())
    .filter((name) => name.endsWith(".js") && name !== "early.js")
    .map((name) => `<link rel="modulepreload" href="./dashboard/${version}/${name}">`);
  return template
    .replaceAll("./files/", `./dashboard/${version}/`)
    .replace("<!-- import map -->", `<script type="importmap">${map}</script>`)
    .replace("<!-- preloads -->", preloads.join("\n    "));
}

/** Everything from this server, nothing else, in no frame; no text becomes a script. */
function policyFor(map: string): string {
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash("sha256", map, "base64")}'`,
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}
