/** Work on long lists that lets the event loop turn between pieces: everybody else is served meanwhile. */
import { setImmediate as nextTurn } from "node:timers/promises";

export { nextTurn };

/** Things of a list that are worked on in one go. Those that take longest, tasks, are done in 3 ms on a slow machine. */
export const AT_ONCE = 64;
/** The same, of things of which each takes a microsecond or two. */
export const SMALL_AT_ONCE = 1000;

/** Returns the finding of `look`, which is asked once in a turn of the event loop, however many want to know. */
export function onceATurn<Value>(look: () => Value): () => Value {
  let known: { readonly value: Value } | null = null;
  return () => {
    if (known === null) {
      known = { value: look() };
      setImmediate(() => (known = null));
    }
    return known.value;
  };
}

/** The results of `map`, in the order of the items. A list that is done in one go waits for no turn. */
export async function mapInTurns<From, To>(
  items: readonly From[],
  map: (item: From) => To,
  atOnce = AT_ONCE,
): Promise<To[]> {
  const mapped: To[] = [];
  for (const item of items) {
    if (mapped.length > 0 && mapped.length % atOnce === 0) await nextTurn();
    mapped.push(map(item));
  }
  return mapped;
}

/** As `toSorted`; equal ones keep their order. */
export async function sortedInTurns<Item>(
  items: readonly Item[],
  order: (one: Item, other: Item) => number,
  atOnce = SMALL_AT_ONCE,
): Promise<Item[]> {
  const starts = Array.from({ length: Math.ceil(items.length / atOnce) }, (_, run) => run * atOnce);
  let runs = await mapInTurns(starts, (start) => items.slice(start, start + atOnce).toSorted(order), 1);
  while (runs.length > 1) {
    const longer: Item[][] = [];
    for (let run = 0; run < runs.length; run += 2)
      longer.push(await merged(runs[run]!, runs[run + 1] ?? [], order, atOnce));
    runs = longer;
  }
  return runs[0] ?? [];
}

async function merged<Item>(
  ones: readonly Item[],
  others: readonly Item[],
  order: (one: Item, other: Item) => number,
  atOnce: number,
): Promise<Item[]> {
  const all: Item[] = [];
  let [one, other] = [0, 0];
  while (all.length < ones.length + others.length) {
    if (all.length > 0 && all.length % atOnce === 0) await nextTurn();
    const isOne = other === others.length || (one < ones.length && order(ones[one]!, others[other]!) <= 0);
    all.push(isOne ? ones[one++]! : others[other++]!);
  }
  return all;
}
