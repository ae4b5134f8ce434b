import { drawFrom, type Instance, type Strategy } from "../placement.ts";

/** Free memory within this share of the most is equal to it. */
const TIE = 0.05;

/** The most free memory beside the needs of running tasks; at random among equals. GPUs with too little are not eligible. */
export const memoryOptimized: Strategy = {
  score: ({ freeMemory }) => freeMemory,
  choose: (eligible, { draw }) => {
    const most = mostOf(eligible);
    const least = most - Math.abs(most) * TIE;
    const equals = eligible.filter(({ freeMemory }) => freeMemory >= least);
    const instance = drawFrom(equals, draw);
    return { instance, why: { code: "most_memory", bytes: instance.freeMemory, equals: equals.length } };
  },
};

function mostOf(instances: readonly Instance[]): number {
  let most = -Infinity;
  for (const { freeMemory } of instances) if (freeMemory > most) most = freeMemory;
  return most;
}
