import { drawFrom, type Gpu, type Strategy } from "../placement.ts";

/** Free memory within this share of the most is equal to it. */
const TIE = 0.05;

/** The most free memory after what running tasks have reserved; at random among equals. GPUs without room are not eligible. */
export const memoryOptimized: Strategy = {
  score: ({ freeMemory }) => freeMemory,
  choose: (eligible, { draw }) => {
    const most = mostOf(eligible);
    const least = most - Math.abs(most) * TIE;
    const equals = eligible.filter(({ freeMemory }) => freeMemory >= least);
    const gpu = drawFrom(equals, draw);
    return { gpu, why: { code: "most_memory", bytes: gpu.freeMemory, equals: equals.length } };
  },
};

function mostOf(gpus: readonly Gpu[]): number {
  let most = -Infinity;
  for (const { freeMemory } of gpus) if (freeMemory > most) most = freeMemory;
  return most;
}
