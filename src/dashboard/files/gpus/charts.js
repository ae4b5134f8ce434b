/** The figures of one GPU since the page was opened. */
import { html } from "htm/preact";
import { number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";
import { gpus, history } from "../core/store.js";
import { Chart } from "../parts/chart.js";

/**
 * The charts: what is told, its word, its unit, its colour.
 * @type {readonly { figure: import("../core/history.js").Figure, word: import("../core/i18n.js").Word, unit: string, color: "accent" | "completed" | "queued" | "failed" }[]}
 */
const CHARTS = [
  { figure: "utilization", word: "gpus.utilization", unit: "%", color: "accent" },
  { figure: "memory", word: "gpus.memory", unit: "%", color: "completed" },
  { figure: "temperature", word: "gpus.temperature", unit: "°C", color: "queued" },
  { figure: "power", word: "gpus.power", unit: "W", color: "failed" },
];

/** @param {number | null} value @param {string} unit */
function written(value, unit) {
  if (value === null) return "";
  return unit === "%" ? percent(value) : `${number(value)} ${unit}`;
}

/** @param {{ gpu: import("../core/types.ts").GpuDetails }} props */
export function Charts({ gpu }) {
  // The history tells nobody that it has grown; the list of GPUs does.
  void gpus.value;
  const series = history.of(gpu.id);
  if (!series) return null;
  const at = series.at.map((time) => time / 1000);
  const most = { utilization: 100, memory: 100, temperature: gpu.max_temperature ?? 100, power: gpu.power_limit };
  const told = CHARTS.filter(({ figure }) => series[figure].some((value) => !Number.isNaN(value)));
  if (told.length === 0) return null;
  return html`<section class="panel charts" aria-label=${t("gpus.charts")}>
    ${told.map(({ figure, word, unit, color }) => {
      const values = series[figure].map((value) => (Number.isNaN(value) ? null : value));
      const top = most[figure];
      return html`<${Chart}
        key=${figure}
        title=${t(word)}
        at=${at}
        lines=${[{ title: t(word), color, values }]}
        write=${(/** @type {number | null} */ value) => written(value, unit)}
        ...${top === null ? {} : { most: top }}
      />`;
    })}
  </section>`;
}
