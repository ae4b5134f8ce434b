/**
 * `npm run add-gpu cuda` (or vulkan): brings llama.cpp's package for a kind of GPU into node_modules.
 *
 * package.json's overrides put an empty stand-in in the place of these packages, because npm would fetch hundreds of megabytes
 * of them onto every machine. A plain `npm install` of one of them is refused for that reason, so the package is unpacked there.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cudaPackageFault } from "../src/gpu/inventory/cuda-package.ts";

const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "linux-x64 cuda": ["linux-x64-cuda", "linux-x64-cuda-ext"],
  "linux-x64 vulkan": ["linux-x64-vulkan"],
  "win32-x64 cuda": ["win-x64-cuda", "win-x64-cuda-ext"],
  "win32-x64 vulkan": ["win-x64-vulkan"],
};

const wanted = process.argv[2] ?? "";
const packages = PACKAGES[`${process.platform}-${process.arch} ${wanted}`];
if (packages === undefined) {
  const known = Object.keys(PACKAGES).join(", ");
  console.error(
    `Say which: npm run add-gpu cuda, or vulkan. There are packages for ${known}; this is ${process.platform}-${process.arch}.`,
  );
  process.exit(1);
}

const root = join(import.meta.dirname, "..");
const { version } = JSON.parse(readFileSync(join(root, "node_modules/node-llama-cpp/package.json"), "utf8")) as {
  version: string;
};
for (const name of packages) add(`@node-llama-cpp/${name}`);
const fault = wanted === "cuda" ? await cudaPackageFault() : null;
if (fault !== null) {
  console.error(`It cannot be loaded yet: ${fault}. docs/gpus.md says under "NVIDIA" what it needs.`);
  process.exitCode = 1;
}

function add(name: string): void {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-gpu-"));
  try {
    console.log(`Fetching ${name}@${version} …`);
    const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", folder, `${name}@${version}`], {
      shell: process.platform === "win32",
    });
    const [{ filename }] = JSON.parse(packed.toString()) as [{ filename: string }];
    const target = join(root, "node_modules", name);
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target, { recursive: true });
    execFileSync("tar", ["-xzf", join(folder, filename), "-C", target, "--strip-components=1"]);
    console.log(`${name} is installed.`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
