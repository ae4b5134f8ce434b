import { type Instance, placeOf, type Strategy, UNEVEN } from "../placement.ts";
import type { Cached } from "../prefixes.ts";

/** Loads that differ by no more than this are equal. */
const TIE = 0.01;
/** A GPU that has the beginning of the prompt in its KV cache is preferred while its load is within this of the lowest. */
const NEAR = 0.1;
/** Sums of steps of 0.05 and quotients are not exact in binary. */
const EPSILON = 1e-9;

/**
 * Of the GPUs that are about as fast for one task more as the fastest, the one with the lowest load; at random among equals, so that a
 * burst does not pile onto the first GPU. Among those whose load is close to the lowest, the ones that have most of the prompt in their KV
 * cache come first. The part of a prompt that a cache spares makes a slower GPU as good as a faster one that has to
 * compute all of it.
 */
export const leastLoaded: Strategy = {
  score: ({ load }) => load,
  choose: (all, { cached, draw, isUneven, work }) => {
    const eligible = !isUneven ? all : cached.length === 0 ? fastOf(all) : cheapOf(all, cached, work);
    const least = leastOf(eligible);
    const warm = cached.length === 0 ? null : firstNear(eligible, cached, least);
    const { instance, equals } =
      warm === null ? drawn(eligible, least, draw) : drawn(warm.instances, leastOf(warm.instances), draw);
    if (warm === null && eligible.length < all.length && instance.seconds > 0)
      return {
        instance,
        why: { code: "fastest", tokensPerSecond: 1 / instance.seconds, load: instance.load, equals },
      };
    if (warm === null) return { instance, why: { code: "lowest_load", load: instance.load, equals } };
    const { characters } = warm;
    return { instance, why: { code: "cached_prefix", characters, within: NEAR, least, equals } };
  },
};

/** Those that are about as fast for one task more as the fastest, and those whose speed is not known yet. */
function fastOf(instances: readonly Instance[]): readonly Instance[] {
  let fastest = Infinity;
  for (const { seconds } of instances) if (seconds > 0 && seconds < fastest) fastest = seconds;
  return instances.filter(({ seconds }) => seconds <= UNEVEN * fastest);
}

/** As `fastOf`, where a part of the prompt is spared by what a free slot has of it. @param work tokens of the task */
function cheapOf(
  instances: readonly Instance[],
  cached: readonly Cached<Instance>[],
  work: number,
): readonly Instance[] {
  const spared = new Map<Instance, number>();
  for (const { holders, spares } of cached)
    if (spares > 0) for (const holder of holders) if (!spared.has(holder)) spared.set(holder, spares);
  const costOf = (one: Instance): number => one.seconds * Math.max(1, work - (spared.get(one) ?? 0));
  let least = Infinity;
  for (const one of instances) if (one.seconds > 0) least = Math.min(least, costOf(one));
  return instances.filter((one) => costOf(one) <= UNEVEN * least);
}

function leastOf(instances: readonly Instance[]): number {
  let least = Infinity;
  for (const { load } of instances) if (load < least) least = load;
  return least;
}

/** Draws among those with the least load. They are counted and not listed: there may be a thousand. */
function drawn(
  instances: readonly Instance[],
  least: number,
  draw: number,
): { readonly instance: Instance; readonly equals: number } {
  const most = least + TIE + EPSILON;
  let equals = 0;
  for (const { load } of instances) if (load <= most) equals++;
  let left = Math.min(equals - 1, Math.floor(draw * equals));
  for (const instance of instances) if (instance.load <= most && left-- === 0) return { instance, equals };
  throw new Error("none has the least load");
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
