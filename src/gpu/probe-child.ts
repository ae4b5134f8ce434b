/** A process that asks llama.cpp which GPUs it can open, tells its parent, and ends. */
import { getLlama } from "node-llama-cpp";
import { type Probe } from "./probe.ts";

const llama = await getLlama({ gpu: "auto", build: "never", skipDownload: true, progressLogs: false });
const { total } = llama.gpu === false ? { total: 0 } : await llama.getVramState();
const names = llama.gpu === false ? [] : await llama.getGpuDeviceNames();
const probe: Probe = { backend: llama.gpu, names, memoryTotal: total };
process.send?.(probe, undefined, {}, () => process.exit(0));
