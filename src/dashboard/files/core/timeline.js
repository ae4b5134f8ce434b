/**
 * The tasks of the last minutes by GPU, for drawing. A plain object that changes: it is drawn frame by frame, not by signals. It holds no more
 * than a bounded number of tasks of each GPU, whatever happens on the server.
 */

/** Seconds that are kept. */
export const SECONDS_KEPT = 15 * 60;
/** Bars of one GPU that are kept at most. */
const MOST_BARS = 6000;
/** Bars of finished tasks may be taken away in crowds only: it costs a copy. */
const SLACK = 500;

/**
 * One attempt of a task on a GPU. Times are Unix milliseconds of the server.
 *
 * @typedef {object} Bar
 * @property {string} id the task's
 * @property {string} user
 * @property {string | null} model
 * @property {import("./types.ts").TaskChange["status"]} status
 * @property {number} createdAt
 * @property {number} startedAt
 * @property {number | null} firstOutputAt
 * @property {number | null} finishedAt null: it runs
 * @property {number} row where it is drawn: no two bars of a row overlap
 */

/**
 * @typedef {object} Lane
 * @property {Bar[]} bars as they started
 * @property {(Bar | undefined)[]} rows the latest bar of each row
 */

export class Timeline {
  /** @type {Map<number, Lane>} */
  lanes = new Map();
  /** Grows with each change. */
  version = 0;
  /** The latest attempt of each task that is kept. @type {Map<string, Bar>} */
  #bars = new Map();

  /** @param {readonly import("./types.ts").TaskChange[]} changes one of each task at most */
  apply(changes) {
    // In the order in which they started: a row is given to who comes first.
    const sorted = changes.toSorted((a, b) => (a.startedAt ?? Infinity) - (b.startedAt ?? Infinity));
    for (const change of sorted) this.#apply(change);
    this.version++;
  }

  forget() {
    this.lanes.clear();
    this.#bars.clear();
    this.version++;
  }

  /** The latest attempt of a task; undefined: it is not kept. @param {string} id */
  barOf(id) {
    return this.#bars.get(id);
  }

  /** @param {import("./types.ts").TaskChange} change */
  #apply(change) {
    const { id, gpuId, startedAt, finishedAt, status, firstOutputAt } = change;
    const known = this.#bars.get(id);
    // It was cut off: what ran until now has ended, and another attempt may follow.
    const isCutOff = known !== undefined && known.finishedAt === null && startedAt !== known.startedAt;
    if (isCutOff) {
      known.finishedAt = startedAt ?? Date.now();
      known.status = "canceled";
    }
    if (gpuId === null || startedAt === null) return;
    const bar = known === undefined || startedAt > known.startedAt ? this.#begin(change, gpuId, startedAt) : known;
    if (bar.finishedAt === null && finishedAt !== null) this.#free(gpuId, bar, finishedAt);
    bar.status = status;
    bar.finishedAt = finishedAt;
    bar.firstOutputAt = firstOutputAt ?? bar.firstOutputAt;
    bar.model = change.model ?? bar.model;
  }

  /** @param {import("./types.ts").TaskChange} change @param {number} gpuId @param {number} startedAt @returns {Bar} */
  #begin({ id, user, model, status, createdAt }, gpuId, startedAt) {
    const lane = this.lanes.get(gpuId) ?? { bars: [], rows: [] };
    this.lanes.set(gpuId, lane);
    const free = lane.rows.findIndex((last) => last === undefined || isOver(last, startedAt));
    const row = free === -1 ? lane.rows.length : free;
    const bar = { id, user, model, status, createdAt, startedAt, firstOutputAt: null, finishedAt: null, row };
    lane.rows[row] = bar;
    // Lists of tasks may tell them in another order than that in which they started.
    let place = lane.bars.length;
    while (place > 0 && (lane.bars[place - 1]?.startedAt ?? 0) > startedAt) place--;
    if (place === lane.bars.length) lane.bars.push(bar);
    else lane.bars.splice(place, 0, bar);
    this.#bars.set(id, bar);
    this.#prune(lane, startedAt - SECONDS_KEPT * 1000);
    return bar;
  }

  /**
   * A slot is given on before the end of its task is on disk and told, so whoever got it seemed to need a new row.
   * @param {number} gpuId @param {Bar} bar @param {number} finishedAt
   */
  #free(gpuId, bar, finishedAt) {
    const rows = this.lanes.get(gpuId)?.rows ?? [];
    if (rows[bar.row] !== bar) return;
    const above = rows.findLastIndex((last) => last !== undefined && last.startedAt >= finishedAt - OVERLAP);
    const next = rows[above];
    if (next === undefined || above <= bar.row) return;
    rows[above] = undefined;
    rows[bar.row] = next;
    next.row = bar.row;
  }

  /** @param {Lane} lane @param {number} from */
  #prune(lane, from) {
    let gone = Math.max(0, lane.bars.length - MOST_BARS);
    while (gone < lane.bars.length && isOver(/** @type {Bar} */ (lane.bars[gone]), from)) gone++;
    if (gone < SLACK) return;
    for (const bar of lane.bars.splice(0, gone)) if (this.#bars.get(bar.id) === bar) this.#bars.delete(bar.id);
  }
}

/** Milliseconds: a slot is free a moment before the end of its task is written down. */
const OVERLAP = 50;

/** @param {Bar} bar @param {number} at */
function isOver({ finishedAt }, at) {
  return finishedAt !== null && finishedAt <= at + OVERLAP;
}
