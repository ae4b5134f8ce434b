/** A process that asks llama.cpp which GPUs it can open, tells its parent, and ends. */
import { getLlama, type Llama, NoBinaryFoundError } from "node-llama-cpp";
import { whyNoBuild } from "../../engine/llama/no-build.ts";
import { ignoreSignals } from "../worker/child-environment.ts";
import { cudaPackageFault } from "./cuda-package.ts";
import { NOTHING, type Probe } from "./probe.ts";

ignoreSignals();
process.send?.(await ask(), undefined, {}, () => process.exit(0));

async function ask(): Promise<Probe> {
  let llama: Llama;
  try {
    llama = await open();
  } catch (error) {
    if (!(error instanceof NoBinaryFoundError)) throw error;
    return { ...NOTHING, noBuild: whyNoBuild() };
  }
  const { total } = llama.gpu === false ? { total: 0 } : await llama.getVramState();
  const names = llama.gpu === false ? [] : await llama.getGpuDeviceNames();
  const cudaFault = llama.gpu === "cuda" ? null : await cudaPackageFault();
  return { backend: llama.gpu, names, memoryTotal: total, cudaFault };
}

/**
 * With `auto` node-llama-cpp tries CUDA only where it finds the driver's and the runtime's files in a few folders. The system's loader
 * knows more places, so CUDA is tried in any case, unless all its GPUs are hidden.
 */
async function open(): Promise<Llama> {
  const options = { build: "never", skipDownload: true, progressLogs: false } as const;
  const isHidden = process.env["CUDA_VISIBLE_DEVICES"] === "";
  const cuda = isHidden ? null : await getLlama({ ...options, gpu: "cuda" }).catch(() => null);
  return cuda ?? (await getLlama({ ...options, gpu: { type: "auto", exclude: isHidden ? [] : ["cuda"] } }));
}
