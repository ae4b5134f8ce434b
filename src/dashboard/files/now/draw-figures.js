/** Draws the figures of one GPU over the last minutes, four small charts beside each other. */

/** @typedef {import("../core/history.js").Figure} Figure */

export const FIGURES = /** @type {const} */ (["utilization", "memory", "temperature", "power"]);
const GAP = 10;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import("../core/history.js").Series | undefined} series
 * @param {{ width: number, height: number, from: number, to: number, most: Readonly<Record<Figure, number>> }} view most: the value at the top
 * @param {import("../core/colors.js").Colors} colors
 */
export function drawFigures(context, series, { width, height, from, to, most }, colors) {
  const each = (width - GAP * (FIGURES.length - 1)) / FIGURES.length;
  for (const [index, figure] of FIGURES.entries()) {
    const x = index * (each + GAP);
    context.fillStyle = colors.line;
    context.fillRect(x, height - 1, each, 1);
    if (!series) continue;
    const points = pointsOf(series, figure, { from, to, most: most[figure], x, width: each, height: height - 2 });
    drawLine(context, points, height - 1, figure === "temperature" ? colors.queued : colors.accent);
  }
}

/**
 * @param {import("../core/history.js").Series} series
 * @param {Figure} figure
 * @param {{ from: number, to: number, most: number, x: number, width: number, height: number }} box
 */
function pointsOf(series, figure, { from, to, most, x, width, height }) {
  const points = [];
  for (const [index, at] of series.at.entries()) {
    const value = series[figure][index] ?? NaN;
    if (at < from || Number.isNaN(value)) continue;
    const share = Math.min(1, Math.max(0, value / most));
    points.push([x + ((at - from) / (to - from)) * width, 1 + (1 - share) * height]);
  }
  return /** @type {[number, number][]} */ (points);
}

/** @param {CanvasRenderingContext2D} context @param {[number, number][]} points @param {number} floor @param {string} color */
function drawLine(context, points, floor, color) {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return;
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.strokeStyle = color;
  context.lineWidth = 1.25;
  context.stroke();
  context.lineTo(last[0], floor);
  context.lineTo(first[0], floor);
  context.fillStyle = color;
  context.globalAlpha = 0.14;
  context.fill();
  context.globalAlpha = 1;
}
