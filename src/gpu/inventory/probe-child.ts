/** A process that asks llama.cpp which GPUs it can open, tells its parent, and ends. */
import { getLlama, type Llama } from "node-llama-cpp";
import { ignoreSignals } from "../worker/child-environment.ts";
import { cudaPackageFault } from "./cuda-package.ts";
import { type Probe } from "./probe.ts";

ignoreSignals();
const llama = await open();
const { total } = llama.gpu === false ? { total: 0 } : await llama.getVramState();
const names = llama.gpu === false ? [] : await llama.getGpuDeviceNames();
const cudaFault = llama.gpu === "cuda" ? null : await cudaPackageFault();
const probe: Probe = { backend: llama.gpu, names, memoryTotal: total, cudaFault };
process.send?.(probe, undefined, {}, () => process.exit(0));

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
