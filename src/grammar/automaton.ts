/** Languages as automata: explored, without what leads nowhere, and with equal states merged. */
import { type CharSet, charsKey, LAST, unionOf } from "./charset.ts";
import { textCharsIn } from "./division.ts";
import type { Language, Languages } from "./language.ts";

export interface Edge {
  readonly set: CharSet;
  /** The number of a state. */
  readonly to: number;
}

export interface State {
  readonly accepts: boolean;
  readonly edges: readonly Edge[];
}

/** The states of a language; the first is where it starts. Without states where no text belongs to it. */
export type Automaton = readonly State[];

/** @returns null when there would be more than `limit` states */
export function automatonOf(languages: Languages, start: Language, limit: number): Automaton | null {
  const numbers = new Map<Language, number>([[start, 0]]);
  const states: State[] = [];
  for (const language of numbers.keys()) {
    if (numbers.size > limit) return null;
    const edges = edgesOf(languages, language).map(([to, set]) => {
      if (!numbers.has(to)) numbers.set(to, numbers.size);
      return { set, to: numbers.get(to)! };
    });
    states.push({ accepts: language.nullable, edges });
  }
  return merged(trimmed(states));
}

function edgesOf(languages: Languages, language: Language): [Language, CharSet][] {
  const division = languages.divisionOf(language);
  const classes = new Map<Language, number[]>();
  division.first.forEach((char, number) => {
    if (char > LAST) return;
    const next = languages.after(language, char);
    if (next === languages.nothing) return;
    const known = classes.get(next);
    if (known === undefined) classes.set(next, [number]);
    else known.push(number);
  });
  return [...classes]
    .map(([next, all]): [Language, CharSet] => [next, textCharsIn(division, all)])
    .filter(([, set]) => set.length > 0);
}

/** Without the states from which no text ends well. */
function trimmed(states: readonly State[]): State[] {
  const sources = states.map((): number[] => []);
  states.forEach(({ edges }, from) => edges.forEach(({ to }) => sources[to]!.push(from)));
  const alive = new Set(states.flatMap(({ accepts }, at) => (accepts ? [at] : [])));
  for (const state of alive) for (const source of sources[state]!) alive.add(source);
  if (!alive.has(0)) return [];
  return renumbered(
    states,
    [...states.keys()].map((at) => (alive.has(at) ? at : null)),
  );
}

/**
 * @param classes of each state the class it belongs to, or null to leave it out
 */
function renumbered(states: readonly State[], classes: readonly (number | null)[]): State[] {
  const numbers = new Map<number, number>();
  for (const found of classes) if (found !== null && !numbers.has(found)) numbers.set(found, numbers.size);
  const result: State[] = [];
  states.forEach(({ accepts, edges }, at) => {
    const own = classes[at];
    if (own === null || own === undefined || numbers.get(own)! < result.length) return;
    const sets = new Map<number, CharSet[]>();
    for (const { set, to } of edges) {
      const target = classes[to];
      if (target === null || target === undefined) continue;
      const number = numbers.get(target)!;
      sets.set(number, [...(sets.get(number) ?? []), set]);
    }
    const joined = [...sets].map(([to, all]) => ({ to, set: all.length === 1 ? all[0]! : unionOf(...all) }));
    result.push({ accepts, edges: joined });
  });
  return result;
}

/** With states that accept the same texts as one (Moore's refinement). */
function merged(states: readonly State[]): State[] {
  const sets = new Map<string, number>();
  const numberOf = (set: CharSet): number => {
    const key = charsKey(set);
    if (!sets.has(key)) sets.set(key, sets.size);
    return sets.get(key)!;
  };
  const numbered = states.map(({ edges }) => edges.map(({ set, to }) => ({ set, to, number: numberOf(set) })));
  let classes: number[] = states.map(({ accepts }) => (accepts ? 1 : 0));
  for (let count = new Set(classes).size; ;) {
    const numbers = new Map<string, number>();
    const next = numbered.map((edges, at) => {
      const key = `${classes[at]}:${signatureOf(edges, classes, numberOf)}`;
      const known = numbers.get(key) ?? numbers.size;
      numbers.set(key, known);
      return known;
    });
    if (numbers.size === count) return count === states.length ? [...states] : renumbered(states, next);
    classes = next;
    count = numbers.size;
  }
}

function signatureOf(
  edges: readonly (Edge & { readonly number: number })[],
  classes: readonly number[],
  numberOf: (set: CharSet) => number,
): string {
  if (edges.length === 1) return `${classes[edges[0]!.to]}=${edges[0]!.number}`;
  const sets = new Map<number, CharSet[]>();
  const numbers = new Map<number, number>();
  for (const { set, to, number } of edges) {
    const target = classes[to]!;
    const known = sets.get(target);
    if (known === undefined) sets.set(target, [set]);
    else known.push(set);
    numbers.set(target, number);
  }
  const parts = [...sets].map(([to, all]) => `${to}=${all.length === 1 ? numbers.get(to) : numberOf(unionOf(...all))}`);
  return parts.toSorted().join(";");
}

/** Characters of the shortest and the longest text; Infinity where there is no longest one. */
export function lengthsOf(automaton: Automaton): { readonly min: number; readonly max: number } {
  return { min: shortest(automaton), max: longest(automaton) };
}

function shortest(automaton: Automaton): number {
  let states = new Set([0]);
  for (let length = 0; length <= automaton.length; length++) {
    const next = new Set<number>();
    for (const at of states) {
      if (automaton[at]!.accepts) return length;
      for (const { to } of automaton[at]!.edges) next.add(to);
    }
    states = next;
  }
  return Infinity;
}

function longest(automaton: Automaton): number {
  let states = new Set([0]);
  let best = 0;
  for (let length = 0; length <= automaton.length; length++) {
    const next = new Set<number>();
    for (const at of states) {
      if (automaton[at]!.accepts) best = length;
      for (const { to } of automaton[at]!.edges) next.add(to);
    }
    if (next.size === 0) return best;
    states = next;
  }
  return Infinity;
}
