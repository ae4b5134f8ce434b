/**
 * Why a task went to one GPU and not to another: codes that are compared and stored, and the words in which they are shown. The words may
 * change without a change of what is stored.
 */

/** Why a GPU does not take a task now. A placement counts the GPUs that were not chosen by these codes, and shows these words. */
const WHY_NOT = {
  // The states in which a GPU takes nothing; their names are words already.
  starting: "starting",
  hot: "hot",
  draining: "draining",
  drained: "drained",
  unfit: "unfit",
  faulted: "faulted",
  lost: "lost",
  cold: "its model is not loaded",
  unloading: "its model leaves",
  // Its load.
  busy: "busy",
  reserved: "kept for a task alone",
  leaving: "makes room for another model",
  retired: "its model was taken away",
  memory_taken: "memory taken by others",
  used_by_others: "used by others",
  server_full: "its server is full",
  // The needs of this task, or of its batch.
  not_requested: "not asked for",
  not_mapped: "not mapped",
  other_model: "another model",
  lacks_capability: "cannot do it",
  chosen_already: "chosen already",
  context_too_small: "context too small",
  failed_before: "failed there before",
  /** It was eligible, and not chosen. */
  eligible: "eligible",
} as const;

export type WhyNot = keyof typeof WHY_NOT;

/** The words for a code. Tasks of earlier versions were stored with the words, which are returned as they are. */
export function wordsOf(whyNot: string): string {
  return Object.hasOwn(WHY_NOT, whyNot) ? WHY_NOT[whyNot as WhyNot] : whyNot;
}

/** Why a GPU was chosen, by code; each function ends the sentence that begins with the GPU. */
const WHY = {
  lowest_load: ({ load, equals }: { readonly load: number; readonly equals: number }) =>
    `has the lowest load, ${load.toFixed(2)}${drawnAmong(equals)}`,
  /** Others are slower, as they were measured, even if less is placed there. */
  fastest: ({ tokensPerSecond, load, equals }: Fastest) =>
    `is among the fastest for one task more, ${tokensPerSecond.toFixed(1)} tokens/s, and has the lowest load of these, ${load.toFixed(2)}${drawnAmong(equals)}`,
  /** `within`: how much more than `least` its load may be. */
  cached_prefix: ({ characters, within, least, equals }: CachedPrefix) =>
    `has had the first ${counted(characters)} characters of this prompt and a load within ${within} of the least, ${least.toFixed(2)}${drawnAmong(equals)}`,
  most_memory: ({ bytes, equals }: { readonly bytes: number; readonly equals: number }) =>
    `has the most free memory, ${(bytes / 2 ** 30).toFixed(2)} GiB${drawnAmong(equals)}`,
  drawn: ({ among }: { readonly among: number }) => `was drawn among ${among}`,
  /** `after`: the GPU that was chosen before; null: none. */
  next_turn: ({ after }: { readonly after: number | null }) =>
    after === null ? "is the first turn" : `is the next after GPU ${after}`,
  requested: () => "alone may run this task: the request named it",
  whole_batch: () => "alone may run this task: its batch was not to be split",
} as const satisfies Readonly<Record<string, (values: never) => string>>;

interface Fastest {
  readonly tokensPerSecond: number;
  readonly load: number;
  readonly equals: number;
}

interface CachedPrefix {
  readonly characters: number;
  readonly within: number;
  readonly least: number;
  readonly equals: number;
}

type Makers = typeof WHY;

/** A code of `WHY`, with the values that its sentence gives. */
export type Why = { [Code in keyof Makers]: { readonly code: Code } & ValuesOf<Makers[Code]> }[keyof Makers];

type ValuesOf<Maker> = Maker extends (values: infer Values extends object) => string ? Values : unknown;

/** The sentence for a choice. Tasks of earlier versions were stored with the sentence, which is returned as it is. */
export function sentenceOf(why: Why | string, gpuId: number): string {
  if (typeof why === "string") return why;
  const maker = WHY[why.code] as (values: Why) => string;
  return `GPU ${gpuId} ${maker(why)}.`;
}

let counts: Intl.NumberFormat | undefined;

/** With commas between the thousands. The first one takes V8 12 ms, which a start has not to spare. */
function counted(count: number): string {
  counts ??= new Intl.NumberFormat("en");
  return counts.format(count);
}

function drawnAmong(equals: number): string {
  return equals > 1 ? `, drawn among ${equals} equals` : "";
}
