/** A report of replays: one page of HTML with everything in it, so that it opens anywhere and without a network. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { htmlText } from "../../common/html-text.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import type { Best } from "../best.ts";
import type { LabGpu } from "../fleet.ts";
import type { Replay } from "../replay.ts";
import type { Result } from "../tally.ts";
import { bestWords, figureRows } from "../words.ts";

export interface ReportOptions {
  /** Which trace it was. */
  readonly trace: string;
  /** Whose speeds these are. */
  readonly about: string;
  readonly gpus: readonly LabGpu[];
  /** With what is to be drawn. */
  readonly replayed: readonly Replay[];
  readonly best: Best | null;
}

/** Nothing is fetched, and nothing runs that does not stand in the page. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

export function reportPage(options: ReportOptions): string {
  const { trace, about, replayed, best } = options;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>The lab: ${htmlText(trace)}</title>
<style>${installed("uplot/dist/uPlot.min.css")}</style>
<style>${own("page.css")}</style>
</head>
<body>
<main>
<h1>The lab: ${htmlText(trace)}</h1>
<p>${htmlText(about)}</p>
${tableOf(
  replayed.map(({ result }) => result),
  best,
)}
<p class="note">${htmlText(bestWords(best))}</p>
${own("charts.html")}
</main>
<script type="application/json" id="drawn">${scriptText(drawnOf(options))}</script>
<script>${installed("uplot/dist/uPlot.iife.min.js")}</script>
<script>${own("page.js")}</script>
</body>
</html>
`;
}

/** @throws {AltLasError} `bad_config`: it cannot be written there */
export function writeReport(file: string, options: ReportOptions): void {
  try {
    writeFileSync(file, reportPage(options));
  } catch (error) {
    throw new AltLasError("bad_config", `The report cannot be written: ${messageOf(error)}.`, { cause: error });
  }
}

function tableOf(results: readonly Result[], best: Best | null): string {
  const head = results.map(({ strategy }) => `<th scope="col">${htmlText(strategy)}</th>`).join("");
  const rows = figureRows(results, best).map(([name, ...cells]) => {
    const figures = cells.map((cell) => `<td>${htmlText(cell)}</td>`).join("");
    return `<tr><th scope="row">${htmlText(name!)}</th>${figures}</tr>`;
  });
  return `<div class="wide" tabindex="0" role="region" aria-label="Figures by strategy"><table>
<thead><tr><td></td>${head}</tr></thead>
<tbody>${rows.join("\n")}</tbody>
</table></div>`;
}

function drawnOf({ gpus, replayed }: ReportOptions) {
  return {
    slots: gpus.map(({ slots }) => slots),
    strategies: replayed.map(({ result, drawing }) => ({ name: result.strategy, ...drawing })),
  };
}

/** JSON that no reader of HTML takes for a tag. */
function scriptText(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", String.raw`\u003c`);
}

function own(name: string): string {
  return readFileSync(join(import.meta.dirname, name), "utf8");
}

function installed(specifier: string): string {
  return readFileSync(fileURLToPath(import.meta.resolve(specifier)), "utf8");
}
