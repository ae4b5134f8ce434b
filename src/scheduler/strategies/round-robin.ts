import { type Strategy } from "../placement.ts";

/** The next eligible GPU after the last one chosen, in `gpu_id` order. The turn is an id, so no coming or going of a GPU resets it. */
export const roundRobin: Strategy = {
  score: () => null,
  choose: (eligible, { lastRoundRobin }) => {
    const instance = eligible.find(({ gpuId }) => lastRoundRobin !== null && gpuId > lastRoundRobin) ?? eligible[0]!;
    return { instance, why: { code: "next_turn", after: lastRoundRobin } };
  },
};
