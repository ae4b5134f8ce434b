/**
 * Draws the tasks of one GPU: a row for each slot, a bar for each attempt from its start to its end. The first part of a bar, until its first
 * token, is paler; a thin line before it is the time in the queue, as far as the row was free.
 *
 * However many tasks there are, no more is painted than can be seen: bars narrower than a pixel join those beside them in their colour, and
 * rows lower than two pixels are drawn over each other.
 */

/** Pixels; a narrower bar is drawn so wide, or nobody would find it. */
const NARROWEST = 1.5;
const LOWEST_ROW = 2;
/** Pixels from which a bar has its user's name in it. */
const NAME_WIDTH = 44;
const NAME_HEIGHT = 12;

/** The looks of bars, in the order in which they are painted. */
const LOOKS = /** @type {const} */ ([
  "queued",
  "running-prompt",
  "completed-prompt",
  "failed-prompt",
  "canceled-prompt",
  "running",
  "completed",
  "canceled",
  "failed",
]);
/** @typedef {(typeof LOOKS)[number]} Look */

const PALE = 0.42;
const FAINT = 0.55;

/**
 * @typedef {object} View
 * @property {number} from Unix milliseconds at the left edge
 * @property {number} to Unix milliseconds at the right edge, which is now
 * @property {number} width CSS pixels
 * @property {number} height CSS pixels
 * @property {number} slots rows that the GPU has at least
 */

/** @typedef {import("../core/timeline.js").Bar} Bar */
/** @typedef {import("../core/timeline.js").Lane} Lane */

/** Rectangles of one look: x, y, width, height, one after the other; kept from frame to frame. */
class Rectangles {
  #values = new Float32Array(4096);
  #length = 0;

  /** @param {number} x @param {number} y @param {number} width @param {number} height */
  add(x, y, width, height) {
    if (this.#length === this.#values.length) {
      const larger = new Float32Array(this.#length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set([x, y, width, height], this.#length);
    this.#length += 4;
  }

  /** @param {CanvasRenderingContext2D} context @returns how many there were */
  paint(context) {
    const values = this.#values;
    for (let at = 0; at < this.#length; at += 4)
      context.fillRect(values[at] ?? 0, values[at + 1] ?? 0, values[at + 2] ?? 0, values[at + 3] ?? 0);
    const count = this.#length / 4;
    this.#length = 0;
    return count;
  }
}

const rectangles = /** @type {Record<Look, Rectangles>} */ (
  Object.fromEntries(LOOKS.map((look) => [look, new Rectangles()]))
);

/**
 * How the rows of a lane lie on its canvas: one for each slot, and more where more ran at once within what is shown.
 * @param {Lane | undefined} lane
 * @param {Pick<View, "height" | "slots" | "from">} view
 */
export function rowsOf(lane, { height, slots, from }) {
  let count = Math.max(1, slots);
  for (const { row, finishedAt } of lane?.bars ?? [])
    if (row >= count && (finishedAt === null || finishedAt >= from)) count = row + 1;
  const shown = Math.min(count, Math.max(1, Math.floor(height / LOWEST_ROW)));
  return { count, shown, pitch: height / shown };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Lane | undefined} lane
 * @param {View} view
 * @param {import("../core/colors.js").Colors} colors
 * @returns rectangles that were painted
 */
export function drawLane(context, lane, view, colors) {
  if (!lane) return 0;
  const named = collect(lane, view);
  let painted = 0;
  for (const look of LOOKS) {
    const isPale = look.endsWith("-prompt");
    const color = /** @type {keyof typeof colors} */ (look.replace("-prompt", ""));
    context.fillStyle = colors[color];
    context.globalAlpha = isPale ? PALE : look === "queued" ? FAINT : 1;
    painted += rectangles[look].paint(context);
  }
  context.globalAlpha = 1;
  for (const { bar, x, y, width, height } of named) writeName(context, bar.user, { x, y, width, height }, colors);
  return painted;
}

/** @param {Lane} lane @param {View} view */
function collect(lane, view) {
  const { from, to, width } = view;
  const { count, shown, pitch } = rowsOf(lane, view);
  const height = Math.max(1, pitch - (pitch > 5 ? 1 : 0.5));
  const scale = width / (to - from);
  /** The end of what is drawn in each row, in pixels. */
  const ends = new Float64Array(shown).fill(-1);
  const looks = /** @type {(Look | undefined)[]} */ (Array.from({ length: shown }));
  /** @type {{ bar: Bar, x: number, y: number, width: number, height: number }[]} */
  const named = [];
  for (const bar of lane.bars) {
    const endAt = bar.finishedAt ?? to;
    if (endAt < from || bar.startedAt > to) continue;
    const row = count === shown ? bar.row : Math.floor((bar.row * shown) / count);
    const y = row * pitch;
    const left = Math.max(0, (bar.startedAt - from) * scale);
    const right = Math.max(left + NARROWEST, (endAt - from) * scale);
    const end = ends[row] ?? -1;
    const look = lookOf(bar);
    // All of it is painted already, by one of the same kind.
    if (right <= end && looks[row] === look) continue;
    const x = looks[row] === look && right - left < 2 * NARROWEST ? Math.max(left, end) : left;
    addQueued(bar, { from, scale, left, end, y, height });
    const first = bar.firstOutputAt === null ? (look === "running" ? right : x) : (bar.firstOutputAt - from) * scale;
    const split = Math.min(right, Math.max(x, first));
    if (split > x) rectangles[/** @type {Look} */ (`${look}-prompt`)].add(x, y, split - x, height);
    if (right > split) rectangles[look].add(split, y, right - split, height);
    if (bar.user !== "" && right - split > NAME_WIDTH && height >= NAME_HEIGHT)
      named.push({ bar, x: split, y, width: right - split, height });
    ends[row] = right;
    looks[row] = look;
  }
  return named;
}

/** @param {Bar} bar @returns {"running" | "completed" | "failed" | "canceled"} */
function lookOf({ status }) {
  return status === "queued" || status === "withdrawn" ? "canceled" : status;
}

/** @param {Bar} bar @param {{ from: number, scale: number, left: number, end: number, y: number, height: number }} where */
function addQueued({ createdAt }, { from, scale, left, end, y, height }) {
  if (height < 4) return;
  const x = Math.max(0, end + 1, (createdAt - from) * scale);
  if (left - x > 1) rectangles.queued.add(x, y + height / 2 - 0.75, left - x, 1.5);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} name
 * @param {{ x: number, y: number, width: number, height: number }} box
 * @param {import("../core/colors.js").Colors} colors
 */
function writeName(context, name, { x, y, width, height }, colors) {
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.fillStyle = colors["on-accent"];
  const room = Math.floor((width - 8) / 6);
  const text = name.length <= room ? name : `${name.slice(0, Math.max(1, room - 1))}…`;
  context.fillText(text, x + 4, y + height / 2 + 0.5, width - 6);
}

/**
 * The bar at a place, or the nearest one within a few pixels of its row.
 * @param {Lane} lane
 * @param {View} view
 * @param {{ x: number, y: number }} point CSS pixels
 * @returns {Bar | null}
 */
export function barAt(lane, view, { x, y }) {
  const { from, to, width } = view;
  const { count, shown, pitch } = rowsOf(lane, view);
  const row = Math.floor(y / pitch);
  const at = from + (x / width) * (to - from);
  const near = (4 / width) * (to - from);
  let best = null;
  let least = near;
  for (const bar of lane.bars) {
    if ((count === shown ? bar.row : Math.floor((bar.row * shown) / count)) !== row) continue;
    const away = Math.max(bar.startedAt - at, at - (bar.finishedAt ?? to), 0);
    if (away > least) continue;
    best = bar;
    least = away;
  }
  return best;
}
