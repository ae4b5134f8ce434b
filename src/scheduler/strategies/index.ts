import type { StrategyName } from "../../task.ts";
import type { Strategy } from "../placement.ts";
import { leastLoaded } from "./least-loaded.ts";
import { memoryOptimized } from "./memory-optimized.ts";
import { random } from "./random.ts";
import { roundRobin } from "./round-robin.ts";

/** `task_specific` says which GPUs count (see ../eligibility.ts); among those it chooses as `least_loaded`. */
export const strategies: Readonly<Record<StrategyName, Strategy>> = {
  round_robin: roundRobin,
  least_loaded: leastLoaded,
  memory_optimized: memoryOptimized,
  task_specific: leastLoaded,
  random,
};
