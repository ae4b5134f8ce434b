/** Usage as a table, a row for each group. */
import { html } from "htm/preact";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";
import { written } from "./figures.js";
import { nameOf } from "./series.js";

/** @typedef {import("./series.js").Row} Row */
/** @typedef {import("./series.js").By} By */

const COLUMNS = /** @type {const} */ ([
  "tasks",
  "failed",
  "canceled",
  "prompt_tokens",
  "cached_tokens",
  "completion_tokens",
  "gpu_seconds",
  "energy_joules",
  "queued_seconds",
]);

/** @param {{ by: By, rows: readonly Row[], total: import("../../../http/schemas/usage.ts").UsageTotal }} props */
export function UsageTable({ by, rows, total }) {
  const sorted = rows.toSorted((one, other) => other.gpu_seconds - one.gpu_seconds);
  return html`<div class="scroll panel" tabindex="0" role="region" aria-label=${t("nav.usage")}>
    <table>
      <thead>
        <tr>
          <th scope="col">${tCode("usageBy", by)}</th>
          ${COLUMNS.map((column) => html`<th key=${column} scope="col" class="number">${tCode("measure", column)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${sorted.map(
          (row) =>
            html`<tr key=${nameOf(row, by)}>
              <th scope="row"><${Name} by=${by} name=${nameOf(row, by)} /></th>
              <${Cells} row=${row} />
            </tr>`,
        )}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">${t("usage.total")}</th>
          <${Cells} row=${total} />
        </tr>
      </tfoot>
    </table>
  </div>`;
}

/** @param {{ row: Pick<Row, typeof COLUMNS[number]> }} props */
function Cells({ row }) {
  return COLUMNS.map((column) => html`<td key=${column} class="number">${written(column, row[column])}</td>`);
}

/** With the tasks behind it, where the list can be filtered so. @param {{ by: By, name: string }} props */
function Name({ by, name }) {
  if (name === "") return html`<span class="muted">${t("settings.none")}</span>`;
  if (by === "user") return html`<a href=${href("tasks", "", { user: name })}>${name}</a>`;
  return by === "gpu" ? html`<a href=${href("tasks", "", { gpu_id: name })}>${name}</a>` : name;
}
