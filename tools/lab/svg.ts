/** Charts as SVG, which follow the system's colours: horizontal bars in groups, and lines. */
import { htmlText } from "../../src/common/html-text.ts";

/** As of the dashboard and of reports. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1a2029; }
  .back { fill: #ffffff; } .muted { fill: #566171; } .line { stroke: #d8dee6; }
  .c0 { fill: #2f7ed8; stroke: #2f7ed8; } .c1 { fill: #e07b00; stroke: #e07b00; } .c2 { fill: #1f9e6d; stroke: #1f9e6d; }
  .c3 { fill: #d0447c; stroke: #d0447c; } .c4 { fill: #8a63d2; stroke: #8a63d2; } .c5 { fill: #66707d; stroke: #66707d; }
  path { fill: none !important; stroke-width: 1.75; } rect { stroke: none !important; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e3e8ee; } .back { fill: #171c22; } .muted { fill: #9ba7b4; } .line { stroke: #2b343e; }
  }`;

const WIDTH = 860;
const TOP = 58;

function svg(title: string, height: number, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${htmlText(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="back" width="${WIDTH}" height="${height}" rx="6"/>`,
    `<text x="16" y="24" font-weight="600">${htmlText(title)}</text>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

/** The names with their colours, below the title. */
function legend(names: readonly string[]): string[] {
  let left = 16;
  return names.flatMap((name, place) => {
    const at = left;
    left += 30 + 7 * name.length;
    return [
      `<rect class="c${place}" x="${at}" y="36" width="10" height="10" rx="2"/>`,
      `<text class="muted" x="${at + 15}" y="45">${htmlText(name)}</text>`,
    ];
  });
}

export interface Bars {
  readonly title: string;
  readonly series: readonly string[];
  readonly groups: readonly { readonly name: string; readonly values: readonly number[] }[];
  /** Longer bars are cut, and tell their value. */
  readonly most: number;
}

/** Bars from 1 on: how many times as much as the best. */
export function barsSvg({ title, series, groups, most }: Bars): string {
  const bar = 9;
  const group = series.length * bar + 12;
  const [left, right] = [150, 60];
  const x = (value: number): number => left + ((Math.min(value, most) - 1) / (most - 1)) * (WIDTH - left - right);
  const height = TOP + groups.length * group + 28;
  const ticks = [0, 1, 2, 3, 4].map((part) => 1 + ((most - 1) * part) / 4);
  const grid = ticks.flatMap((tick) => [
    `<line class="line" x1="${x(tick)}" x2="${x(tick)}" y1="${TOP}" y2="${height - 22}"/>`,
    `<text class="muted" x="${x(tick)}" y="${height - 8}" text-anchor="middle">${tick.toFixed(2)}</text>`,
  ]);
  const parts = groups.flatMap(({ name, values }, row) => {
    const top = TOP + 4 + row * group;
    const bars = values.flatMap((value, place) => {
      const y = top + place * bar;
      const cut =
        value > most ? [`<text class="muted" x="${x(most) + 4}" y="${y + bar - 1}">${value.toFixed(2)}</text>`] : [];
      return [
        `<rect class="c${place}" x="${left}" y="${y}" width="${Math.max(1.5, x(value) - left)}" height="${bar - 2}"/>`,
        ...cut,
      ];
    });
    return [`<text x="${left - 8}" y="${top + group / 2 - 2}" text-anchor="end">${htmlText(name)}</text>`, ...bars];
  });
  return svg(title, height, [...legend(series), ...grid, ...parts]);
}

export interface Lines {
  readonly title: string;
  readonly series: readonly { readonly name: string; readonly points: readonly (readonly [x: number, y: number])[] }[];
  readonly xMost: number;
  readonly yMost: number;
  readonly xName: string;
}

export function linesSvg({ title, series, xMost, yMost, xName }: Lines): string {
  const [left, right, bottom, height] = [56, 20, 40, 320];
  const x = (value: number): number => left + (Math.min(value, xMost) / xMost) * (WIDTH - left - right);
  const y = (value: number): number => height - bottom - (Math.min(value, yMost) / yMost) * (height - bottom - TOP);
  const quarters = [0, 0.25, 0.5, 0.75, 1];
  const grid = quarters.flatMap((part) => [
    `<line class="line" x1="${left}" x2="${WIDTH - right}" y1="${y(part * yMost)}" y2="${y(part * yMost)}"/>`,
    `<text class="muted" x="${left - 6}" y="${y(part * yMost) + 4}" text-anchor="end">${figure(part * yMost)}</text>`,
    `<text class="muted" x="${x(part * xMost)}" y="${height - bottom + 16}" text-anchor="middle">${figure(part * xMost)}</text>`,
  ]);
  const paths = series.map(({ points }, place) => {
    const seen = points.filter(([value]) => value <= xMost);
    const path = seen
      .map(([one, other], index) => {
        const to = `${x(one).toFixed(1)},${y(other).toFixed(1)}`;
        return index === 0 ? `M${to}` : `L${to}`;
      })
      .join("");
    return `<path class="c${place}" d="${path}"/>`;
  });
  const name = `<text class="muted" x="${WIDTH - right}" y="${height - 8}" text-anchor="end">${htmlText(xName)}</text>`;
  return svg(title, height, [...legend(series.map((one) => one.name)), ...grid, ...paths, name]);
}

function figure(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
