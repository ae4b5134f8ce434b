import { drawFrom, loadOf, type Strategy } from "../placement.ts";

/** Loads that differ by no more than this are equal. */
const TIE = 0.01;
/** Sums of steps of 0.05 and quotients are not exact in binary. */
const EPSILON = 1e-9;

/** The lowest load; at random among equals, so that a burst does not pile onto the first GPU. */
export const leastLoaded: Strategy = {
  score: loadOf,
  choose: (eligible, { draw }) => {
    let least = Infinity;
    for (const gpu of eligible) least = Math.min(least, loadOf(gpu));
    const equals = eligible.filter((gpu) => loadOf(gpu) <= least + TIE + EPSILON);
    const gpu = drawFrom(equals, draw);
    const tie = equals.length > 1 ? `, drawn among ${equals.length} equals` : "";
    return { gpu, reason: `GPU ${gpu.facts.id} has the lowest load, ${loadOf(gpu).toFixed(2)}${tie}.` };
  },
};
