import { drawFrom, type Strategy } from "../placement.ts";

/** Uniform among the eligible. */
export const random: Strategy = {
  score: () => null,
  choose: (eligible, { draw }) => ({
    instance: drawFrom(eligible, draw),
    why: { code: "drawn", among: eligible.length },
  }),
};
