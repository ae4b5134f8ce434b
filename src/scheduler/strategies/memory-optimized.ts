import { drawFrom, freeMemory, type Strategy } from "../placement.ts";

/** Free memory within this share of the most is equal to it. */
const TIE = 0.05;

/** The most free memory after what running tasks have reserved; at random among equals. GPUs without room are not eligible. */
export const memoryOptimized: Strategy = {
  score: freeMemory,
  choose: (eligible, { draw }) => {
    let most = -Infinity;
    for (const gpu of eligible) most = Math.max(most, freeMemory(gpu));
    const equals = eligible.filter((gpu) => freeMemory(gpu) >= most - Math.abs(most) * TIE);
    const gpu = drawFrom(equals, draw);
    const tie = equals.length > 1 ? `, drawn among ${equals.length} equals` : "";
    const gib = (freeMemory(gpu) / 2 ** 30).toFixed(2);
    return { gpu, reason: `GPU ${gpu.facts.id} has the most free memory, ${gib} GiB${tie}.` };
  },
};
