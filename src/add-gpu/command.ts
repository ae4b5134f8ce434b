/**
 * `alt-las add-gpu cuda` (or vulkan), in a clone `npm run add-gpu cuda`: brings llama.cpp's package for a kind of GPU into node_modules, and for NVIDIA's GPUs on Linux all
 * else that they need, see add-gpu/cuda.ts.
 *
 * npm would fetch hundreds of megabytes of these packages onto every machine. So package.json's overrides put an empty stand-in in their
 * place, and the package on npm does not ask for them. A plain `npm install` of one of them is refused for that reason, so the package is unpacked there.
 */
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { SYSTEM } from "../common/system.ts";
import { cudaPackageFault } from "../gpu/inventory/cuda-package.ts";
import { ADD_GPU, START } from "../common/paste.ts";
import { WheelIndex } from "../common/wheels.ts";
import { AltLasError } from "../errors.ts";
import { isYes, said } from "../words/terminal.ts";
import { addCuda } from "./cuda.ts";
import { notFoundBySystem } from "./libraries.ts";
import { lookAtMachine } from "./machine.ts";
import { otherMachine } from "./other-machine.ts";
import { addPackage } from "./packages.ts";
import { tryGpus } from "./trial.ts";

/** Where nothing else is done. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "linux-x64 vulkan": ["linux-x64-vulkan"],
  "win32-x64 cuda": ["win-x64-cuda", "win-x64-cuda-ext"],
  "win32-x64 vulkan": ["win-x64-vulkan"],
};
const PREPARED = "linux-x64 cuda";

const ROOT = join(import.meta.dirname, "../..");

/**
 * @param kind of GPU: cuda or vulkan
 * @param options `yes`: NVIDIA's licence is accepted; `other`: the machine that it is for (other-machine.ts), where it is not this one
 * @param say prints a line
 * @returns whether the GPUs can serve; where they cannot, it was said why
 * @throws {AltLasError} there is no package for such GPUs on this system
 * @throws {Error} npm cannot fetch one
 */
export async function addGpu(
  kind: string,
  options: { readonly yes: boolean; readonly other: string | undefined },
  say: (line: string) => void,
): Promise<boolean> {
  const wanted = `${SYSTEM.platform}-${process.arch} ${kind}`;
  if (wanted === PREPARED) return cuda(options, say);
  if (options.other !== undefined)
    throw new AltLasError("invalid_input", `--for goes with ${ADD_GPU} cuda on Linux x64 only; this is ${wanted}.`);
  const packages = PACKAGES[wanted];
  if (packages === undefined) {
    const known = [PREPARED, ...Object.keys(PACKAGES)].join(", ");
    throw new AltLasError(
      "invalid_input",
      `Say which: ${ADD_GPU} cuda, or vulkan. There are packages for ${known}; this is ${SYSTEM.platform}-${process.arch}.`,
    );
  }
  for (const name of packages) addPackage(ROOT, `@node-llama-cpp/${name}`, say);
  say(`Done. Start the server: ${START}`);
  return true;
}

async function cuda({ yes, other }: Parameters<typeof addGpu>[1], say: (line: string) => void): Promise<boolean> {
  const machine = other === undefined ? null : otherMachine(other);
  const index = new WheelIndex(process.env);
  try {
    return await addCuda({
      root: ROOT,
      yes,
      isForOther: machine !== null,
      lookAtMachine: machine === null ? lookAtMachine : () => Promise.resolve(machine),
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
  return terminal.question(said(question)).then((answer) => {
    terminal.close();
    return isYes(answer);
  });
}
