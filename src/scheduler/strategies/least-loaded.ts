import { drawFrom, type Instance, placeOf, type Strategy } from "../placement.ts";
import type { Cached } from "../prefixes.ts";

/** Loads that differ by no more than this are equal. */
const TIE = 0.01;
/** A GPU that has the beginning of the prompt in its KV cache is preferred while its load is within this of the lowest. */
const NEAR = 0.1;
/** Sums of steps of 0.05 and quotients are not exact in binary. */
const EPSILON = 1e-9;

/**
 * The lowest load; at random among equals, so that a burst does not pile onto the first GPU. Among those whose load is close to the
 * lowest, the ones that have most of the prompt in their KV cache come first.
 */
export const leastLoaded: Strategy = {
  score: ({ load }) => load,
  choose: (eligible, { cached, draw }) => {
    const least = leastOf(eligible);
    const warm = firstNear(eligible, cached, least);
    const equals = warm === null ? equalsOf(eligible, least) : equalsOf(warm.instances, leastOf(warm.instances));
    const instance = drawFrom(equals, draw);
    const tie = equals.length;
    if (warm === null) return { instance, why: { code: "lowest_load", load: instance.load, equals: tie } };
    const { characters } = warm;
    return { instance, why: { code: "cached_prefix", characters, within: NEAR, least, equals: tie } };
  },
};

function leastOf(instances: readonly Instance[]): number {
  let least = Infinity;
  for (const { load } of instances) if (load < least) least = load;
  return least;
}

function equalsOf(instances: readonly Instance[], least: number): readonly Instance[] {
  return instances.filter(({ load }) => load <= least + TIE + EPSILON);
}

/**
 * The instances with the longest beginning of the prompt among those whose load is near the least, and how much they have; null: none has
 * any.
 */
function firstNear(
  eligible: readonly Instance[],
  cached: readonly Cached<Instance>[],
  least: number,
): { readonly instances: readonly Instance[]; readonly characters: number } | null {
  for (const { characters, holders } of cached) {
    const known = holders.filter((holder) => eligible[placeOf(eligible, holder)] === holder);
    const instances = known.filter(({ load }) => load <= least + NEAR + EPSILON);
    if (instances.length > 0) return { instances, characters };
  }
  return null;
}
