import type { Strategy } from "../placement.ts";

/** The next eligible GPU after the last one chosen, in `gpu_id` order. It goes by the id, so a GPU that comes or goes resets nothing. */
export const roundRobin: Strategy = {
  score: () => null,
  choose: (eligible, { lastRoundRobin }) => {
    const instance = eligible.find(({ gpuId }) => lastRoundRobin !== null && gpuId > lastRoundRobin) ?? eligible[0]!;
    return { instance, why: { code: "next_turn", after: lastRoundRobin } };
  },
};
