import { type Config } from "../config/config.ts";

/** task_type → the ids of the GPUs meant for it. */
export type Mappings = ReadonlyMap<string, ReadonlySet<number>>;

/** Reads `task_specific_mappings`: `"gpu_0"`, `0`, or a list of these. */
export function readMappings(raw: Config["gpu"]["multi_gpu"]["task_specific_mappings"]): Mappings {
  return new Map(
    Object.entries(raw).map(([type, names]) => [type, new Set((Array.isArray(names) ? names : [names]).map(idOf))]),
  );
}

function idOf(name: string | number): number {
  return typeof name === "number" ? name : Number(name.slice("gpu_".length));
}
