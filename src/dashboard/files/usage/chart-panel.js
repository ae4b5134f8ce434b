/** The chart, with its legend: the day under the pointer, or all of them. */
import { html } from "htm/preact";
import { useMemo, useState } from "preact/hooks";
import { t, tCode } from "../core/i18n.js";
import { Bars, COLORS } from "./bars.js";
import { stepsOf, written } from "./figures.js";
import { groupsOf } from "./series.js";

/** @typedef {import("./series.js").Row} Row */

/** @param {{ question: import("./question.js").Question, rows: readonly Row[], days: readonly string[] }} props */
export function ChartPanel({ question: { by, measure }, rows, days }) {
  const [day, setDay] = useState(/** @type {number | null} */ (null));
  const groups = useMemo(() => groupsOf(rows, by, measure, days), [rows, by, measure, days]);
  const steps = stepsOf(measure);
  const write = (/** @type {number} */ value) => written(measure, value);
  const label = `${tCode("measure", measure)}, ${tCode("usageBy", by)}`;
  return html`<section class="panel" aria-label=${label}>
    <${Bars} label=${label} days=${days} groups=${groups} write=${write} steps=${steps} onDay=${setDay} />
    <ul class="legend">
      ${groups.map(({ name, values }, place) => {
        const value = day === null ? values.reduce((sum, one) => sum + one, 0) : (values[day] ?? 0);
        return html`<li key=${name} data-color=${COLORS[place] ?? "canceled"}>
          ${name === null ? t("usage.others") : name || t("settings.none")} <b>${write(value)}</b>
        </li>`;
      })}
      <li class="muted">${(day !== null && days[day]) || t("usage.allDays")}</li>
    </ul>
  </section>`;
}
