/** The accelerators that a llama.cpp server finds, before it is started on them. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { messageOf } from "../../errors.ts";
import { EngineFailure } from "../failures.ts";
import type { EngineOptions } from "../engine.ts";

export interface ServerDevice {
  /** As it is called on the command line, like `CUDA0`. */
  readonly name: string;
  /** For people. */
  readonly title: string;
}

/** How the names begin. */
const NAMES = { cuda: /^CUDA\d/, vulkan: /^Vulkan\d/, metal: /^(MTL|Metal)/ };

/** Milliseconds; drivers that wake up take seconds. */
const PATIENCE = 60_000;

const run = promisify(execFile);

/**
 * Those of the backend that is wanted: the environment hides all GPUs but the right ones from that backend only, so that any other one
 * would compute on whatever it finds, or on the CPU without a word.
 * @throws {EngineFailure} `model_error` when there are none
 */
export async function findDevices(program: string, { backend }: EngineOptions): Promise<readonly ServerDevice[]> {
  if (backend === false) return [];
  const { stdout } = await run(program, ["--list-devices"], { timeout: PATIENCE }).catch((error: unknown) => {
    throw new EngineFailure("model_error", `${program} could not list its devices: ${messageOf(error).trim()}`);
  });
  const all = devicesIn(stdout);
  const ours = all.filter(({ name }) => NAMES[backend].test(name));
  if (ours.length > 0) return ours;
  const found = all.length === 0 ? "no GPU" : all.map(({ name, title }) => `${name} (${title})`).join(", ");
  const sentence = `${program} was to use ${backend}, but it finds ${found}; it may be built for something else.`;
  throw new EngineFailure("model_error", sentence);
}

/** Lines like `  CUDA0: NVIDIA H100 80GB HBM3 (81110 MiB, 80000 MiB free)`. */
export function devicesIn(list: string): ServerDevice[] {
  return [...list.matchAll(/^ +(\w+): (.+?)(?: \(\d+ MiB, \d+ MiB free\))?$/gm)].map(([, name, title]) => ({
    name: name!,
    title: title!,
  }));
}
