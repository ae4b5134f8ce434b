/**
 * One loop for all that is drawn on canvases. A drawing happens when it is due and its canvas can be seen; nothing is drawn while the tab is
 * hidden, and nobody asks for frames when there is nothing to draw.
 */

/**
 * @typedef {object} Drawing
 * @property {HTMLCanvasElement} canvas
 * @property {(context: CanvasRenderingContext2D, size: { width: number, height: number }) => void} draw in CSS pixels, on a cleared canvas
 * @property {() => number} period milliseconds from one drawing to the next; Infinity: only when it is asked for
 */

/** @typedef {Drawing & { isSeen: boolean, dueAt: number, width: number, height: number }} Entry */

/** @type {Map<Element, Entry>} */
const entries = new Map();
let isAsked = false;

/** Milliseconds that each of the last frames took; for tests and figures. @type {number[]} */
export const frameTimes = [];
const FRAMES_KEPT = 600;

const seen = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    const entry = entries.get(target);
    if (!entry) continue;
    entry.isSeen = isIntersecting;
    if (isIntersecting) redraw(entry.canvas);
  }
});

const sized = new ResizeObserver((changes) => {
  for (const { target, contentRect } of changes) {
    const entry = entries.get(target);
    if (!entry) continue;
    entry.width = contentRect.width;
    entry.height = contentRect.height;
    redraw(entry.canvas);
  }
});

/** Whether somebody asked the system for less motion: then pictures move in steps. */
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");
const CALM_PERIOD = 1000;

/** Draws it from now on. @param {Drawing} drawing @returns what ends that */
export function keepDrawing(drawing) {
  const { canvas } = drawing;
  entries.set(canvas, { ...drawing, isSeen: false, dueAt: 0, width: 0, height: 0 });
  seen.observe(canvas);
  sized.observe(canvas);
  return () => {
    entries.delete(canvas);
    seen.unobserve(canvas);
    sized.unobserve(canvas);
  };
}

/** Draws it in the next frame. @param {HTMLCanvasElement} canvas */
export function redraw(canvas) {
  const entry = entries.get(canvas);
  if (!entry) return;
  entry.dueAt = 0;
  ask();
}

export function redrawAll() {
  for (const entry of entries.values()) entry.dueAt = 0;
  ask();
}

function ask() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(frame);
}

/** @param {number} now milliseconds of the browser's own clock */
function frame(now) {
  isAsked = false;
  let nextAt = Infinity;
  let hasDrawn = false;
  const start = performance.now();
  for (const entry of entries.values()) {
    if (!entry.isSeen || entry.width === 0 || entry.height === 0) continue;
    if (entry.dueAt <= now) {
      paint(entry);
      hasDrawn = true;
      const period = entry.period();
      entry.dueAt = now + (isCalm.matches && period !== Infinity ? Math.max(CALM_PERIOD, period) : period);
    }
    nextAt = Math.min(nextAt, entry.dueAt);
  }
  if (hasDrawn && frameTimes.push(performance.now() - start) > FRAMES_KEPT) frameTimes.shift();
  if (nextAt === Infinity) return;
  // A frame costs something even when nothing is drawn in it.
  if (nextAt - now > 40) setTimeout(ask, nextAt - now - 16);
  else ask();
}

/** @param {Entry} entry */
function paint({ canvas, draw, width, height }) {
  const scale = devicePixelRatio;
  const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext("2d");
  if (!context) return;
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  draw(context, { width, height });
}
