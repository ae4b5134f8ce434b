/**
 * `npm run add-gpu cuda` (or vulkan): brings llama.cpp's package for a kind of GPU into node_modules, and for NVIDIA's GPUs on Linux all
 * else that they need, see add-gpu/cuda.ts.
 *
 * package.json's overrides put an empty stand-in in the place of these packages, because npm would fetch hundreds of megabytes
 * of them onto every machine. A plain `npm install` of one of them is refused for that reason, so the package is unpacked there.
 */
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { cudaPackageFault } from "../src/gpu/inventory/cuda-package.ts";
import { WheelIndex } from "../src/common/wheels.ts";
import { addCuda } from "./add-gpu/cuda.ts";
import { notFoundBySystem } from "./add-gpu/libraries.ts";
import { lookAtMachine } from "./add-gpu/machine.ts";
import { addPackage } from "./add-gpu/packages.ts";
import { tryGpus } from "./add-gpu/trial.ts";

/** Where nothing else is done. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "linux-x64 vulkan": ["linux-x64-vulkan"],
  "win32-x64 cuda": ["win-x64-cuda", "win-x64-cuda-ext"],
  "win32-x64 vulkan": ["win-x64-vulkan"],
};
const PREPARED = "linux-x64 cuda";

const ROOT = join(import.meta.dirname, "..");
const say = (line: string): void => console.log(line);

const [kind = "", ...options] = process.argv.slice(2);
const wanted = `${process.platform}-${process.arch} ${kind}`;
const packages = PACKAGES[wanted];
if (wanted === PREPARED) process.exitCode = (await cuda(options.includes("--yes"))) ? 0 : 1;
else if (packages !== undefined) {
  for (const name of packages) addPackage(ROOT, `@node-llama-cpp/${name}`, say);
  say("Done. Start the server: npm start");
} else {
  const known = [PREPARED, ...Object.keys(PACKAGES)].join(", ");
  console.error(
    `Say which: npm run add-gpu cuda, or vulkan. There are packages for ${known}; this is ${process.platform}-${process.arch}.`,
  );
  process.exitCode = 1;
}

async function cuda(yes: boolean): Promise<boolean> {
  const index = new WheelIndex(process.env);
  try {
    return await addCuda({
      root: ROOT,
      yes,
      lookAtMachine,
      addPackage: (name) => addPackage(ROOT, name, say),
      index,
      notFoundBySystem,
      confirm,
      libraryFault: cudaPackageFault,
      tryGpus: () => tryGpus(ROOT),
      say,
    });
  } finally {
    await index.close();
  }
}

/** null: nobody could answer. */
function confirm(question: string): Promise<boolean> | null {
  if (!process.stdin.isTTY) return null;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  return terminal.question(question).then((answer) => {
    terminal.close();
    return /^y(es)?$/i.test(answer.trim());
  });
}
