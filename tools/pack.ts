/**
 * `npm run pack`: makes the package as npm publishes it, with compiled JavaScript, since Node runs no TypeScript below node_modules.
 *
 *     node tools/pack.ts [FOLDER]    where the tar file is put; the folder of the repository by default
 *
 * Its last line is the path of the tar file. A clone needs none of this: it runs as it is.
 */
import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { npm } from "../src/common/npm.ts";
import { readSources } from "../src/docs/sources.ts";
import { BUNDLED, bundledManifest, notices, packageManifest, readManifest } from "./pack/manifest.ts";

const ROOT = join(import.meta.dirname, "..");
/** Files that travel as they are, beside those in src that are no TypeScript. */
const AS_THEY_ARE = ["bin", "models", "docs", "config.example.yaml", "LICENSE", "README.md", "CHANGELOG.md"];
/** llama.cpp's history, for those who compile it themselves: four fifths of node-llama-cpp. */
const LEFT_OUT = /node-llama-cpp[/\\]llama[/\\]gitRelease\.bundle$/;

const folder = mkdtempSync(join(tmpdir(), "alt-las-pack-"));
try {
  await fill(folder);
  console.log(join(packed(folder, resolve(process.argv[2] ?? ROOT))));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Puts into a folder what the package consists of. */
async function fill(target: string): Promise<void> {
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  const project = join(ROOT, "tools/pack/tsconfig.json");
  execFileSync(process.execPath, [compiler, "-p", project, "--outDir", target], { stdio: "inherit" });
  const rest = globSync("src/**/*", { cwd: ROOT, exclude: ["**/*.ts"], withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(ROOT.length + 1));
  const { documents, texts } = await readSources(ROOT);
  // What docs/ names, so that it can be read in the package, too.
  const named = [...documents.keys(), ...texts].filter((path) => !/^(?:docs|src)\//.test(path));
  for (const path of new Set([...rest, ...AS_THEY_ARE, ...named])) copy(join(ROOT, path), join(target, path));
  const source = join(ROOT, "node_modules", BUNDLED);
  const bundled = join(target, "node_modules", BUNDLED);
  copy(source, bundled);
  const manifest = readManifest(source);
  writeJson(join(bundled, "package.json"), bundledManifest(manifest));
  writeJson(join(target, "package.json"), packageManifest(readManifest(ROOT), manifest, process.env));
  writeFileSync(join(target, "THIRD-PARTY-NOTICES.md"), notices([bundled]));
}

/** Has npm make the tar file. @returns its path */
function packed(source: string, destination: string): string {
  mkdirSync(destination, { recursive: true });
  const said = npm(["pack", "--json", "--pack-destination", destination], source);
  const [{ filename }] = JSON.parse(said) as [{ filename: string }];
  return join(destination, filename);
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to, { recursive: true, filter: (path) => !LEFT_OUT.test(path) });
}

function writeJson(path: string, value: object): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}
