/**
 * Which models stay on a card when another one needs its memory: a pure function of the present facts. Its caller loads, evicts and drains,
 * and asks again after each change, or at `until`.
 *
 * Its rules:
 *  1. A model that is there already, or is being loaded, is never loaded a second time.
 *  2. Nothing is evicted for a model that would not fit even after all evictions.
 *  3. Memory counts as taken until the driver shows that it is free, also that of an instance that is being unloaded.
 *  4. An instance that works, loads or is pinned is never evicted. A working one may be drained first.
 *  5. The instances that are cheapest to load again are evicted, and no more of them than are needed.
 *  6. An instance for which tasks wait stays for `MIN_RESIDENCY_MS`, and is evicted only for a model that has waited as long. So two models
 *     that do not fit beside each other alternate at that pace instead of loading for each task.
 *  7. One that nothing needs, but that was loaded less than `MIN_RESIDENCY_MS` ago, stays until it has been idle for as long as it takes to
 *     load, at most `SHORT_IDLE_MS`: clients who ask again after each answer are idle for a moment, too.
 */

import type { CardMemory } from "../gpu/facts.ts";

/** Milliseconds. */
export const MIN_RESIDENCY_MS = 30_000;

/** Milliseconds. Twice as many make tasks wait for longer (npm run bench -- models), and fewer are less than a client may need between two. */
const SHORT_IDLE_MS = 2000;

/** The assumed pace of loading, in bytes a second, of a model that was never loaded. */
const ASSUMED_LOADING_RATE = 1e9;

/** One model on the card. Times are milliseconds of a clock that only goes forward. */
export interface Resident {
  readonly id: number;
  readonly model: string;
  /** Bytes that it takes of the card. */
  readonly memory: number;
  readonly state: "loading" | "ready" | "unloading";
  /** Tasks that run there. */
  readonly running: number;
  /** Tasks that wait for its model. */
  readonly waiting: number;
  /** When its last task ended; when it was loaded, if there was none. */
  readonly lastUsedAt: number;
  readonly loadedAt: number;
  /** Seconds that its model took to load; null: not measured. */
  readonly loadSeconds: number | null;
  /** Bytes of the model's file. */
  readonly fileBytes: number;
  /** Never evicted. */
  readonly pinned: boolean;
}

/** A model for which tasks wait. */
export interface WantedModel {
  readonly model: string;
  /** Bytes. */
  readonly memory: number;
  /** Since when, in milliseconds of the same clock. */
  readonly waitingSince: number;
}

export type ResidencyDecision =
  /** It is there, or about to be. */
  | { readonly do: "nothing"; readonly id: number }
  | { readonly do: "load" }
  /** Unload these, in this order; then ask again. */
  | { readonly do: "evict"; readonly ids: readonly number[] }
  | Waits
  /** Bytes: what it needs, and what it would have after all evictions that are allowed. */
  | { readonly do: "impossible"; readonly why: Obstacle; readonly needed: number; readonly available: number };

/** Ask again when something changes, and at `until` (null: no time). */
export interface Waits {
  readonly do: "wait";
  /** Let these finish, and give them nothing new. */
  readonly drain: readonly number[];
  readonly until: number | null;
  /** Those that are to go when their time has come, these among them. */
  readonly going: readonly number[];
  /** Bytes that nothing will free which may go or is going: something else has to change. */
  readonly short: number;
}

/**
 * `card`: the card is too small, for good; `pinned`: pinned models take the rest; `others`: other processes take it, as long as they run.
 */
export type Obstacle = "card" | "pinned" | "others";

export interface ResidencyInput {
  readonly card: CardMemory;
  readonly residents: readonly Resident[];
  readonly wanted: WantedModel;
  /** Bytes, of those that are free or about to be, that are kept for others. */
  readonly claimed: number;
  /** Milliseconds of the same clock. */
  readonly now: number;
}

/** Decides what is to happen on a card so that a model can be loaded there. */
export function decideResidency({ card, residents, wanted, claimed, now }: ResidencyInput): ResidencyDecision {
  const own = residents.find(({ model }) => model === wanted.model);
  if (own !== undefined && own.state !== "unloading") return { do: "nothing", id: own.id }; // 1
  const obstacle = obstacleTo(wanted, card, residents);
  if (obstacle !== null) return obstacle; // 2
  const free = card.total - card.reserved - memoryOf(residents);
  const toCome = memoryOf(residents.filter(({ state }) => state === "unloading")); // 3
  const missing = wanted.memory - (free + toCome - claimed);
  // A model that is being unloaded has to have left the card: two of it at once would need twice the memory.
  if (missing <= 0 && wanted.memory <= free && own === undefined) return { do: "load" };
  return missing <= 0 ? waitFor([]) : makeRoom(missing, residents, wanted, now);
}

function waitFor(going: readonly Resident[], more: Partial<Waits> = {}): Waits {
  return { do: "wait", drain: [], until: null, going: going.map(({ id }) => id), short: 0, ...more };
}

function obstacleTo(
  { memory: needed }: WantedModel,
  { total, reserved }: CardMemory,
  residents: readonly Resident[],
): ResidencyDecision | null {
  const refuse = (why: Obstacle, available: number): ResidencyDecision => {
    return { do: "impossible", why, needed, available: Math.max(0, available) };
  };
  const pinned = memoryOf(residents.filter((one) => one.pinned && one.state !== "unloading"));
  if (needed > total) return refuse("card", total);
  if (needed > total - pinned) return refuse("pinned", total - pinned);
  return needed > total - pinned - reserved ? refuse("others", total - pinned - reserved) : null;
}

/** @param missing bytes, beside what is free and what is being unloaded */
function makeRoom(
  missing: number,
  residents: readonly Resident[],
  wanted: WantedModel,
  now: number,
): ResidencyDecision {
  const movable = residents.filter(({ pinned, state }) => !pinned && state === "ready"); // 4
  const idle = movable.filter((one) => !isInDemand(one));
  // Those that no task needs now, if they are enough.
  const among = memoryOf(idle) >= missing ? idle : movable;
  // The missing memory belongs to an instance that is being loaded, which cannot be evicted before it is loaded.
  if (memoryOf(among) < missing) return waitFor([], { short: missing - memoryOf(among) });
  const until = enoughAt(among, missing, wanted);
  const chosen = leastOf(
    inOrder(
      among.filter((one) => mayGoAt(one, wanted) <= Math.max(now, until)),
      now,
    ),
    missing,
  );
  if (until > now) return waitFor(chosen, { until });
  const drain = chosen.filter(({ running }) => running > 0).map(({ id }) => id);
  return drain.length > 0 ? waitFor(chosen, { drain }) : { do: "evict", ids: chosen.map(({ id }) => id) };
}

/** When those that may go then free so many bytes together. */
function enoughAt(residents: readonly Resident[], missing: number, wanted: WantedModel): number {
  const times = residents.map((one) => ({ at: mayGoAt(one, wanted), memory: one.memory }));
  let room = 0;
  for (const { at, memory } of times.toSorted((one, other) => one.at - other.at)) {
    room += memory;
    if (room >= missing) return at;
  }
  return Infinity;
}

/** When an instance may go for the wanted model, or may be drained for it. */
function mayGoAt(one: Resident, { waitingSince }: WantedModel): number {
  const settled = one.loadedAt + MIN_RESIDENCY_MS;
  if (isInDemand(one)) return Math.max(waitingSince + MIN_RESIDENCY_MS, settled); // 6
  return Math.min(settled, one.lastUsedAt + Math.min(SHORT_IDLE_MS, secondsToLoad(one) * 1000)); // 7
}

function isInDemand({ running, waiting }: Resident): boolean {
  return running > 0 || waiting > 0;
}

/** The first of these that free enough memory, without those that turn out not to be needed. Of these the dearest are spared first. */
function leastOf(inOrderOfCost: readonly Resident[], missing: number): readonly Resident[] {
  const chosen: Resident[] = [];
  let room = 0;
  for (const resident of inOrderOfCost) {
    if (room >= missing) break;
    chosen.push(resident);
    room += resident.memory;
  }
  // The last one is needed, or it would not have been taken.
  for (let place = chosen.length - 2; place >= 0; place--) {
    if (room - chosen[place]!.memory < missing) continue;
    room -= chosen[place]!.memory;
    chosen.splice(place, 1);
  }
  return chosen;
}

/**
 * The order of eviction:
 *  1. nothing needs them, or fewer tasks wait for their models;
 *  2. no task runs there, or fewer do;
 *  3. they have been there for a while;
 *  4. they are cheap to load again: few seconds of loading for each second without a task.
 */
function inOrder(residents: readonly Resident[], now: number): readonly Resident[] {
  const keys = new Map(residents.map((one) => [one, keysOf(one, now)]));
  return [...residents].toSorted((one, other) => compare(keys.get(one)!, keys.get(other)!));
}

function keysOf(resident: Resident, now: number): readonly number[] {
  const { id, running, waiting, loadedAt, lastUsedAt, memory } = resident;
  const isYoung = now - loadedAt < MIN_RESIDENCY_MS;
  const cost = loadingCost(resident, now - lastUsedAt);
  // Of equals the largest frees most memory; the id makes the order the same each time.
  return [isInDemand(resident) ? 1 : 0, waiting, running, isYoung ? 1 : 0, cost, -memory, id];
}

/** Seconds of loading for each millisecond without a task: what the eviction of a model costs. @param idle milliseconds */
export function loadingCost(resident: Pick<Resident, "loadSeconds" | "fileBytes">, idle: number): number {
  return secondsToLoad(resident) / Math.max(1, idle);
}

function secondsToLoad({ loadSeconds, fileBytes }: Pick<Resident, "loadSeconds" | "fileBytes">): number {
  return loadSeconds ?? fileBytes / ASSUMED_LOADING_RATE;
}

function compare(one: readonly number[], other: readonly number[]): number {
  const place = one.findIndex((value, index) => value !== other[index]);
  return place === -1 ? 0 : one[place]! - other[place]!;
}

function memoryOf(residents: readonly Resident[]): number {
  return residents.reduce((sum, { memory }) => sum + memory, 0);
}
