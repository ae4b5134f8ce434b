/**
 * Lists what an installation of the package consists of, with what it depends on, as CycloneDX. A clone's own list would name packages that
 * only a clone has.
 *
 *     npm run --silent sbom alt-las-0.2.0.tgz > alt-las.cdx.json
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readManifest } from "./pack/manifest.ts";

const ROOT = join(import.meta.dirname, "..");

const [tarball] = process.argv.slice(2);
if (tarball === undefined) {
  console.error("Name the package: npm run sbom alt-las-VERSION.tgz. npm run pack makes it.");
  process.exitCode = 1;
} else {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-sbom-"));
  try {
    process.stdout.write(listOf(resolve(tarball), folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param folder an empty one, to install the package into */
function listOf(packed: string, folder: string): Buffer {
  const { version } = readManifest(ROOT);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "alt-las-installed", version, private: true }));
  npm(folder, "install", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", packed);
  return npm(folder, "sbom", "--sbom-format=cyclonedx", "--omit=dev");
}

function npm(cwd: string, ...args: readonly string[]): Buffer {
  return execFileSync("npm", args, {
    cwd,
    shell: process.platform === "win32",
    stdio: ["ignore", "pipe", "inherit"],
  });
}
