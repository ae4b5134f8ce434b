/** The page GPUs: all of them, or one. */
import { html } from "htm/preact";
import { bytes, NONE, number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { gpus } from "../core/store.js";
import { Badge } from "../parts/badge.js";

export function GpusPage() {
  const all = gpus.value;
  if (all === null) return html`<p class="empty">${t("common.loading")}</p>`;
  if (all.length === 0) return html`<p class="empty">${t("gpus.none")}</p>`;
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          <th>${t("gpus.name")}</th>
          <th>${t("gpus.state")}</th>
          <th>${t("gpus.model")}</th>
          <th class="number">${t("gpus.tasks")}</th>
          <th class="number">${t("gpus.utilization")}</th>
          <th class="number">${t("gpus.memory")}</th>
          <th class="number">${t("gpus.temperature")}</th>
          <th class="number">${t("gpus.power")}</th>
        </tr>
      </thead>
      <tbody>
        ${all.map((gpu) => html`<${Row} key=${gpu.id} gpu=${gpu} />`)}
      </tbody>
    </table>
  </div>`;
}

/** @param {{ gpu: import("../core/types.ts").Gpu }} props */
function Row({ gpu }) {
  return html`<tr>
    <th scope="row"><a href=${href("gpus", String(gpu.id))}>${gpu.id}</a> <span class="muted">${gpu.name}</span></th>
    <td><${Badge} area="gpuState" code=${gpu.status} title=${gpu.reason ?? undefined} /></td>
    <td>${gpu.model_name ?? gpu.model ?? NONE}</td>
    <td class="number">${gpu.task_count}/${gpu.slots}</td>
    <td class="number">${percent(gpu.utilization)}</td>
    <td class="number">${bytes(gpu.memory_used)}</td>
    <td class="number">${gpu.temperature === null ? NONE : `${number(gpu.temperature)} °C`}</td>
    <td class="number">${gpu.power === null ? NONE : `${number(gpu.power)} W`}</td>
  </tr>`;
}
