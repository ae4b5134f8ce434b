/** Bars for days, by uPlot, each of parts that stand on each other. */
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { colors } from "../core/colors.js";
import { language } from "../core/i18n.js";
import { stackOf } from "./series.js";

const HEIGHT = 240;

/** The colours of the groups; the last one is that of all further groups. */
export const COLORS = /** @type {const} */ (["accent", "completed", "queued", "failed", "canceled"]);

/** @typedef {import("./series.js").Group} Group */

/**
 * @typedef {object} BarsProps
 * @property {string} label
 * @property {readonly string[]} days
 * @property {readonly Group[]} groups
 * @property {(value: number) => string} write
 * @property {readonly number[]} steps between the values of the axis that may be; none: round ones
 * @property {(place: number | null) => void} onDay the day under the pointer
 */

/** @param {BarsProps} props */
export function Bars(props) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const theme = colors.value;
  const { label, days, groups } = props;
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const stack = stackOf(groups);
    // The longest bars are drawn first, so that the shorter ones stand before them.
    const data = /** @type {uPlot.AlignedData} */ ([days.map((_day, place) => place), ...stack.toReversed()]);
    const plot = new uPlot(optionsOf(props, theme, element.clientWidth), data, element);
    const sized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      plot.destroy();
    };
  }, [days, groups, theme, language.value]);
  return html`<div class="chart stacked" role="img" aria-label=${label} ref=${box}></div>`;
}

/** @param {BarsProps} props @param {import("../core/colors.js").Colors} theme @param {number} width @returns {uPlot.Options} */
function optionsOf({ days, groups, write, steps, onDay }, theme, width) {
  const bars = uPlot.paths.bars?.({ size: [0.7, 60] });
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    hooks: { setCursor: [({ cursor }) => onDay(cursor.idx ?? null)] },
    scales: {
      x: { time: false, range: () => [-0.6, days.length - 0.4] },
      y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 1] },
    },
    axes: axesOf(days, write, steps, theme),
    series: [
      {},
      ...groups
        .map((_group, place) => {
          const color = theme[COLORS[place] ?? "canceled"];
          return { fill: color, stroke: color, width: 0, ...(bars && { paths: bars }), points: { show: false } };
        })
        .toReversed(),
    ],
  };
}

/**
 * @param {readonly string[]} days
 * @param {BarsProps["write"]} write
 * @param {BarsProps["steps"]} steps
 * @param {import("../core/colors.js").Colors} theme
 * @returns {uPlot.Axis[]}
 */
function axesOf(days, write, steps, theme) {
  const axis = {
    stroke: theme.muted,
    font: "11px system-ui, sans-serif",
    grid: { stroke: theme.line, width: 1 },
    ticks: { show: false },
  };
  return [
    { ...axis, grid: { show: false }, space: 60, size: 24, incrs: [1, 2, 5, 7, 14, 30, 60, 90], values: namesOf(days) },
    {
      ...axis,
      size: 66,
      space: 30,
      ...(steps.length > 0 && { incrs: [...steps] }),
      values: (_plot, values) => values.map((value) => (value === 0 ? "0" : write(value))),
    },
  ];
}

/** @param {readonly string[]} days @returns {uPlot.Axis.DynamicValues} */
function namesOf(days) {
  const format = new Intl.DateTimeFormat(language.value, { day: "numeric", month: "short", timeZone: "UTC" });
  return (_plot, places) =>
    places.map((place) => {
      const day = days[place];
      return day === undefined ? "" : format.format(new Date(`${day}T00:00:00Z`));
    });
}
