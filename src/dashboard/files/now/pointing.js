/**
 * The bar that is pointed at, by mouse, finger or keyboard, and the text about it. Facts that no list has, such as the reason of the placement,
 * are asked for when somebody has stayed a moment.
 */
import { signal } from "@preact/signals";
import { get } from "../core/api.js";
import { colors } from "../core/colors.js";
import { redraw } from "../core/frames.js";
import { go, href } from "../core/router.js";
import { timeline } from "../core/store.js";
import { barAt, rowsOf } from "./draw-lane.js";
import { range } from "./window.js";

/** @typedef {import("../core/timeline.js").Bar} Bar */
/** @typedef {import("../core/types.ts").Task} Task */

/**
 * @typedef {object} Pointed
 * @property {Bar} bar
 * @property {number} gpuId
 * @property {number} x where it is said, CSS pixels of the window
 * @property {number} y
 * @property {Task | null} task null: not known yet
 */

/** @type {import("@preact/signals").Signal<Pointed | null>} */
export const pointed = signal(null);

/** Milliseconds of staying after which more is asked for. */
const STAY = 150;
let timer = 0;

/** @param {HTMLCanvasElement} canvas */
function viewOf(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const gpuId = Number(canvas.dataset["gpu"]);
  const lane = timeline.lanes.get(gpuId);
  return { lane, gpuId, view: { ...range(), width, height, slots: Number(canvas.dataset["slots"]) } };
}

/** @param {HTMLCanvasElement} canvas @param {Bar | null} bar @param {{ x: number, y: number } | null} at null: beside the bar */
function point(canvas, bar, at) {
  if (bar === null) return leave(canvas);
  const { gpuId, view, lane } = viewOf(canvas);
  const isSame = pointed.value?.bar === bar;
  const place = at ?? beside(canvas, bar, view, lane);
  pointed.value = { bar, gpuId, ...place, task: isSame ? (pointed.value?.task ?? null) : null };
  redraw(canvas);
  if (isSame) return;
  clearTimeout(timer);
  timer = window.setTimeout(() => void askAbout(bar), STAY);
}

/** @param {HTMLCanvasElement} canvas @param {Bar} bar @param {import("./draw-lane.js").View} view @param {import("../core/timeline.js").Lane | undefined} lane */
function beside(canvas, bar, view, lane) {
  const { left, top } = canvas.getBoundingClientRect();
  const { pitch } = rowsOf(lane, view);
  const x = ((bar.startedAt - view.from) / (view.to - view.from)) * view.width;
  return { x: left + Math.max(0, x), y: top + (bar.row + 1) * pitch };
}

/** @param {Bar} bar */
async function askAbout(bar) {
  try {
    const task = await get(`task/${bar.id}`);
    if (pointed.value?.bar === bar) pointed.value = { ...pointed.value, task: /** @type {Task} */ (task) };
  } catch {
    // It was removed meanwhile; what the bar knows stands.
  }
}

/** @param {HTMLCanvasElement} canvas */
function leave(canvas) {
  clearTimeout(timer);
  if (pointed.value === null) return;
  pointed.value = null;
  redraw(canvas);
}

/** @param {HTMLCanvasElement} canvas @param {string} key @returns {Bar | null | undefined} undefined: the key means nothing here */
function barByKey(canvas, key) {
  const { lane, view } = viewOf(canvas);
  const seen = (lane?.bars ?? []).filter(({ finishedAt }) => (finishedAt ?? view.to) >= view.from);
  const at = seen.findIndex((bar) => bar === pointed.value?.bar);
  switch (key) {
    case "ArrowLeft":
      return seen[at === -1 ? seen.length - 1 : Math.max(0, at - 1)];
    case "ArrowRight":
      return seen[at === -1 ? seen.length - 1 : Math.min(seen.length - 1, at + 1)];
    case "Home":
      return seen[0];
    case "End":
      return seen.at(-1);
    case "Escape":
      return null;
    default:
      return undefined;
  }
}

/** @typedef {Event & { currentTarget: HTMLCanvasElement }} OnCanvas */

export const pointing = {
  handlers: {
    /** @param {PointerEvent & OnCanvas} event */
    onPointerMove: (event) => {
      const { currentTarget: canvas, offsetX: x, offsetY: y, clientX, clientY } = event;
      const { lane, view } = viewOf(canvas);
      const bar = lane ? barAt(lane, view, { x, y }) : null;
      canvas.style.cursor = bar === null ? "default" : "pointer";
      point(canvas, bar, { x: clientX, y: clientY });
    },
    /** @param {OnCanvas} event */
    onPointerLeave: ({ currentTarget }) => leave(currentTarget),
    /** @param {OnCanvas} event */
    onBlur: ({ currentTarget }) => leave(currentTarget),
    onClick: () => open(),
    /** @param {KeyboardEvent & OnCanvas} event */
    onKeyDown: (event) => {
      if (event.key === "Enter") return open();
      const bar = barByKey(event.currentTarget, event.key);
      if (bar === undefined) return;
      event.preventDefault();
      point(event.currentTarget, bar, null);
    },
  },

  /**
   * Frames the bar that is pointed at.
   * @param {CanvasRenderingContext2D} context @param {number} gpuId @param {import("./draw-lane.js").View} view
   */
  mark(context, gpuId, view) {
    if (pointed.value?.gpuId !== gpuId) return;
    const { bar } = pointed.value;
    const { pitch, shown, count } = rowsOf(timeline.lanes.get(gpuId), view);
    const scale = view.width / (view.to - view.from);
    const x = (bar.startedAt - view.from) * scale;
    const right = ((bar.finishedAt ?? view.to) - view.from) * scale;
    const row = count === shown ? bar.row : Math.floor((bar.row * shown) / count);
    context.strokeStyle = colors.value.text;
    context.lineWidth = 1.5;
    context.strokeRect(x - 0.75, row * pitch - 0.25, Math.max(3, right - x) + 1.5, Math.max(2, pitch - 0.5));
  },
};

function open() {
  if (pointed.value !== null) go(href("tasks", pointed.value.bar.id));
}
