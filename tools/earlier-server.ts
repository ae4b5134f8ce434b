/**
 * Packs an earlier version for tests that start it beside the present one (test/fixtures/servers): what a server, an agent and their
 * simulated workers need, compiled, without comments.
 *
 *     node tools/earlier-server.ts COMMIT FILE.tar.br
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const ROOT = join(import.meta.dirname, "..");
/** Parts of src that such a server never loads. */
const LEFT_OUT = ["add-gpu", "dashboard/files", "docs", "lab", "words/turkish"];
const COMPILER = {
  target: "esnext",
  module: "nodenext",
  noCheck: true,
  removeComments: true,
  rewriteRelativeImportExtensions: true,
  rootDir: ".",
  types: [],
  verbatimModuleSyntax: true,
};
/** Of the file: its window is as large as all of it. */
const PACKING = { params: { [constants.BROTLI_PARAM_LGWIN]: 24 } };
/** The same bytes from the same commit. */
const SAME = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
const ALL = { maxBuffer: Infinity };

const [commit, target] = process.argv.slice(2);
if (commit === undefined || target === undefined) {
  console.error("Name a commit, and the file to be made: node tools/earlier-server.ts COMMIT FILE.tar.br");
  process.exitCode = 1;
} else {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-earlier-"));
  try {
    writeFileSync(target, brotliCompressSync(made(commit, folder), PACKING));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param folder an empty one @returns a tar file */
function made(of: string, folder: string): Buffer {
  const [source, result] = [join(folder, "source"), join(folder, "result")];
  for (const one of [source, result]) mkdirSync(one);
  const without = LEFT_OUT.map((path) => `:(exclude)src/${path}`);
  const archive = ["-C", ROOT, "archive", of, "bin", "models/table.json", "package.json", "src", ...without];
  execFileSync("tar", ["-x", "-C", source], { input: execFileSync("git", archive, ALL) });
  writeFileSync(join(source, "tsconfig.json"), JSON.stringify({ compilerOptions: COMPILER, include: ["src"] }));
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [compiler, "-p", source, "--outDir", result], { stdio: "inherit" });
  cpSync(source, result, { recursive: true, filter: (path) => !/\.ts$|tsconfig\.json$/.test(path) });
  const manifest = join(result, "package.json");
  const { name, version, type } = JSON.parse(readFileSync(manifest, "utf8")) as Record<string, string>;
  writeFileSync(manifest, JSON.stringify({ name, version, type, imports: { "#cli": "./src/cli/cli.js" } }));
  return execFileSync("tar", ["-c", ...SAME, "-C", result, "."], ALL);
}
