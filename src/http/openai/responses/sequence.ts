/**
 * The numbers of a response's events. A number is made of where its event stands, and of nothing that is counted or kept: so it is the same
 * for every reader and after a restart, however the output was cut into deltas, and it can be read back.
 *
 *     (attempt - 1) * 2^27  +  item * 2^18  +  8 * the item's index in its attempt + position in the output + stage
 *
 * `item` says which item of the reader's list is open, or that it is closed. It is what a reader that comes back into a later attempt is told
 * to close, and where its list goes on: of the attempt before, the output is lost by then. In the usual case, fewer than 17 attempts of
 * fewer than 2^18 characters, all numbers are below 2^31, as clients count in 32 bits. Beyond that they still grow, but `item` may be read
 * back as a later one.
 */

export const ITEM_KINDS = ["reasoning", "message", "function_call"] as const;
export type ItemKind = (typeof ITEM_KINDS)[number];

const ATTEMPT = 2 ** 27;
const ITEM = 2 ** 18;
/** Codes of one place in a reader's list: an open item of each kind, and a closed one. */
const SLOTS = ITEM_KINDS.length + 1;
/** Places of a list that have codes of their own; those behind share one. */
const PLACES = 63;
/** The numbers that an item's events take beside its deltas, with room for the next item's. */
const STRIDE = 8;

export const CREATED = 0;
export const QUEUED = 1;
const IN_PROGRESS = 2;

/** The events of an item, in their order. A delta has the position behind it, so that the first comes after `part_added`. */
const STAGES = { added: 3, part_added: 4, delta: 4, text_done: 5, part_done: 6, done: 7 } as const;
export type Stage = keyof typeof STAGES;

/** An item of an attempt's output. */
export interface ItemPlace {
  readonly kind: ItemKind;
  /** Its place among the items of its attempt, from 0. */
  readonly index: number;
  /** The items that the reader was given in earlier attempts. */
  readonly base: number;
}

/** @param base the items that the reader was given in earlier attempts */
export function inProgressNumber(attempt: number, base: number): number {
  return startOf(attempt) + (base === 0 ? 0 : codeOf(base - 1, null) * ITEM) + IN_PROGRESS;
}

/** @param position in the attempt's output: of a delta behind it, of an item's first events where it begins, of its last where it ends */
export function itemNumber(attempt: number, { kind, index, base }: ItemPlace, stage: Stage, position: number): number {
  const code = codeOf(base + index, stage === "done" ? null : kind);
  return startOf(attempt) + code * ITEM + STRIDE * index + position + STAGES[stage];
}

/** The number of a task's last event. @param attempt its last one; 0: it had none */
export function endNumber(attempt: number): number {
  return startOf(Math.max(1, attempt) + 1) - 1;
}

/** The place that a number stands for. */
export interface NumberPlace {
  readonly attempt: number;
  /** It is that of the last event. */
  readonly isEnd: boolean;
  /** The items that the reader's list has. */
  readonly items: number;
  /** The kind of its last one; null: that is closed, or there is none. */
  readonly open: ItemKind | null;
  /** `8 * index + position + stage` */
  readonly rest: number;
}

export function placeOf(number: number): NumberPlace {
  const attempt = Math.floor(number / ATTEMPT) + 1;
  const within = number % ATTEMPT;
  const code = Math.floor(within / ITEM);
  const items = code === 0 ? 0 : Math.floor((code - 1) / SLOTS) + 1;
  // So many items are calls.
  const open = items > PLACES ? "function_call" : (ITEM_KINDS[(code - 1) % SLOTS] ?? null);
  return {
    attempt,
    isEnd: number === endNumber(attempt),
    items,
    open: items === 0 ? null : open,
    rest: within % ITEM,
  };
}

/** Whether an item had begun at a place, as far as that says. @param start the position where the item begins */
export function hasBegun({ rest }: NumberPlace, index: number, start: number): boolean {
  return rest >= STRIDE * index + start + STAGES.added;
}

function startOf(attempt: number): number {
  return (attempt - 1) * ATTEMPT;
}

/** @param open null: it is closed */
function codeOf(place: number, open: ItemKind | null): number {
  if (place >= PLACES) return 1 + SLOTS * PLACES;
  return 1 + SLOTS * place + (open === null ? ITEM_KINDS.length : ITEM_KINDS.indexOf(open));
}
