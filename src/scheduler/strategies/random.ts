import { drawFrom, type Strategy } from "../placement.ts";

/** Uniform among the eligible. */
export const random: Strategy = {
  score: () => null,
  choose: (eligible, { draw }) => {
    const gpu = drawFrom(eligible, draw);
    return { gpu, reason: `GPU ${gpu.facts.id} was drawn among ${eligible.length}.` };
  },
};
