import { drawFrom, type Gpu, type Strategy } from "../placement.ts";
import { type Cached } from "../prefixes.ts";

/** Loads that differ by no more than this are equal. */
const TIE = 0.01;
/** A GPU that has the beginning of the prompt in its KV cache may have so much more load than the least. */
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
    const equals = warm === null ? equalsOf(eligible, least) : equalsOf(warm.gpus, leastOf(warm.gpus));
    const gpu = drawFrom(equals, draw);
    const tie = equals.length;
    if (warm === null) return { gpu, why: { code: "lowest_load", load: gpu.load, equals: tie } };
    const { characters } = warm;
    return { gpu, why: { code: "cached_prefix", characters, within: NEAR, least, equals: tie } };
  },
};

function leastOf(gpus: readonly Gpu[]): number {
  let least = Infinity;
  for (const { load } of gpus) if (load < least) least = load;
  return least;
}

function equalsOf(gpus: readonly Gpu[], least: number): readonly Gpu[] {
  return gpus.filter(({ load }) => load <= least + TIE + EPSILON);
}

/** The first GPUs that have some of the prompt and a load that is near the least, and how much they have; null: none has any. */
function firstNear(
  eligible: readonly Gpu[],
  cached: readonly Cached[],
  least: number,
): { readonly gpus: readonly Gpu[]; readonly characters: number } | null {
  for (const { characters, gpuIds } of cached) {
    const known = gpuIds.map((id) => find(eligible, id)).filter((gpu) => gpu !== undefined);
    const gpus = known.filter(({ load }) => load <= least + NEAR + EPSILON);
    if (gpus.length > 0) return { gpus, characters };
  }
  return null;
}

/** The GPU with an id, in a list in the order of ids. */
function find(gpus: readonly Gpu[], id: number): Gpu | undefined {
  let low = 0;
  let high = gpus.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const gpu = gpus[middle]!;
    if (gpu.facts.id === id) return gpu;
    if (gpu.facts.id < id) low = middle + 1;
    else high = middle - 1;
  }
  return undefined;
}
