/** A chart over time, by uPlot: as wide as there is room, in the theme's colours, with a legend that follows the pointer. */
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colors } from "../core/colors.js";

/**
 * @typedef {object} Line
 * @property {string} title
 * @property {keyof import("../core/colors.js").Colors} color
 * @property {readonly (number | null)[]} values one for each time
 */

/**
 * @typedef {object} ChartProps
 * @property {string} label what it shows, for those who do not see it
 * @property {readonly number[]} at Unix time in seconds, growing
 * @property {readonly Line[]} lines
 * @property {(value: number | null) => string} write a value as people read it
 * @property {number} [most] the value at the top; left out: the largest one
 * @property {number} [height] CSS pixels
 */

/** @param {ChartProps} props */
export function Chart(props) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const { label, at, lines, height = 130 } = props;
  const theme = colors.value;
  // A new plot only for what a plot cannot change later; new values alone are cheap.
  const kind = lines.map(({ title, color }) => `${title} ${color}`).join();
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const made = new uPlot(optionsOf(props, theme, element.clientWidth), dataOf(at, lines), element);
    plot.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [kind, theme, height, props.most]);
  useEffect(() => {
    if (!document.hidden) plot.current?.setData(dataOf(at, lines));
  }, [at, lines]);
  return html`<div class="chart" role="img" aria-label=${label} ref=${box}></div>`;
}

/** @param {readonly number[]} at @param {readonly Line[]} lines @returns {uPlot.AlignedData} */
function dataOf(at, lines) {
  return [[...at], ...lines.map(({ values }) => [...values])];
}

/** @param {ChartProps} props @param {import("../core/colors.js").Colors} theme @param {number} width @returns {uPlot.Options} */
function optionsOf({ lines, write, most, height = 130 }, theme, width) {
  const axis = {
    stroke: theme.muted,
    font: "11px system-ui, sans-serif",
    grid: { stroke: theme.line, width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height,
    legend: { live: true },
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_plot, _least, largest) => [0, most ?? Math.max(1, largest * 1.1)] } },
    axes: [
      { ...axis, space: 80, size: 24 },
      { ...axis, size: 58, space: 30, values: (_plot, values) => values.map((value) => write(value)) },
    ],
    series: [
      {},
      ...lines.map(({ title, color }) => ({
        label: title,
        stroke: theme[color],
        width: 1.5,
        fill: theme[color].replace("rgb(", "rgba(").replace(")", ", 0.12)"),
        points: { show: false },
        value: (/** @type {uPlot} */ _plot, /** @type {number | null} */ value) => write(value),
      })),
    ],
  };
}
