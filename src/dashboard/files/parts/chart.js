/** A chart over time, by uPlot: as wide as there is room, in the theme's colours; its head says the value pointed at, or the latest one. */
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { colors } from "../core/colors.js";
import { clock } from "../core/format.js";

/**
 * @typedef {object} Line
 * @property {string} title
 * @property {keyof import("../core/colors.js").Colors} color
 * @property {readonly (number | null)[]} values one for each time
 */

/**
 * @typedef {object} ChartProps
 * @property {string} title
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
  const { at, lines, height = 120 } = props;
  const [pointedAt, setPointedAt] = useState(/** @type {number | null} */ (null));
  const theme = colors.value;
  const onCursor = (/** @type {uPlot} */ { cursor }) => setPointedAt(cursor.idx ?? null);
  // A new plot only for what a plot cannot change later; new values alone are cheap.
  const kind = lines.map(({ title, color }) => `${title} ${color}`).join();
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const made = new uPlot(
      { ...optionsOf(props, theme), width: element.clientWidth, height, hooks: { setCursor: [onCursor] } },
      dataOf(at, lines),
      element,
    );
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
  return html`<div>
    <${Head} ...${props} index=${pointedAt} />
    <div class="chart" role="img" aria-label=${props.title} ref=${box}></div>
  </div>`;
}

/** @param {ChartProps & { index: number | null }} props index: of the time that is pointed at; null: none is */
function Head({ title, at, lines, write, index }) {
  const told = index ?? at.length - 1;
  return html`<div class="chart-head">
    <h3>${title}</h3>
    ${lines.map((line) => html`<span>${lines.length > 1 && `${line.title} `}${write(line.values[told] ?? null)}</span>`)}
    ${index !== null && html`<span class="muted">${clock((at[told] ?? 0) * 1000)}</span>`}
  </div>`;
}

/** @param {readonly number[]} at @param {readonly Line[]} lines @returns {uPlot.AlignedData} */
function dataOf(at, lines) {
  return [[...at], ...lines.map(({ values }) => [...values])];
}

/** @param {ChartProps} props @param {import("../core/colors.js").Colors} theme @returns {Omit<uPlot.Options, "width" | "height">} */
function optionsOf({ lines, write, most }, theme) {
  const axis = {
    stroke: theme.muted,
    font: "11px system-ui, sans-serif",
    grid: { stroke: theme.line, width: 1 },
    ticks: { show: false },
  };
  return {
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_plot, _least, largest) => [0, most ?? Math.max(1, largest * 1.1)] } },
    axes: [
      { ...axis, space: 90, size: 22, values: (_plot, values) => values.map((value) => clock(value * 1000)) },
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
      })),
    ],
  };
}
