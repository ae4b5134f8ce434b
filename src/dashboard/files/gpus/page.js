/** The page GPUs: all of them, or one. */
import { html } from "htm/preact";
import { bytes, NONE, number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { isAdmin } from "../core/session.js";
import { driverNotes, gpus } from "../core/store.js";
import { Badge } from "../parts/badge.js";
import { Switch } from "./drain.js";
import { OneGpu } from "./one.js";

/** @param {import("../pages.js").PageProps} props */
export function GpusPage({ rest }) {
  return rest === "" ? html`<${AllGpus} />` : html`<${OneGpu} key=${rest} id=${rest} />`;
}

function AllGpus() {
  const all = gpus.value;
  if (all === null) return html`<p class="empty">${t("common.loading")}</p>`;
  if (all.length === 0) {
    const notes = driverNotes.value;
    return html`<div class="empty">
      <p>${t("gpus.none")}</p>
      ${notes.map((note) => html`<p>${note}</p>`)}
    </div>`;
  }
  return html`<section class="panel scroll">
    <table class="cards">
      <thead>
        <tr>
          <th>${t("gpus.name")}</th>
          <th>${t("gpus.state")}</th>
          <th>${t("gpus.models")}</th>
          <th class="number">${t("gpus.tasks")}</th>
          <th class="number">${t("gpus.utilization")}</th>
          <th class="number">${t("gpus.memory")}</th>
          <th class="number">${t("gpus.temperature")}</th>
          <th class="number">${t("gpus.power")}</th>
          ${isAdmin.value && html`<th><span class="unseen">${t("gpus.actions")}</span></th>`}
        </tr>
      </thead>
      <tbody>
        ${all.map((gpu) => html`<${Row} key=${gpu.id} gpu=${gpu} />`)}
      </tbody>
    </table>
  </section>`;
}

/** @param {{ gpu: import("../core/types.ts").Gpu }} props */
function Row({ gpu }) {
  const models = gpu.instances.filter(({ state }) => state === "ready").map(({ model }) => model ?? gpu.model ?? NONE);
  return html`<tr>
    <td>
      <a href=${href("gpus", String(gpu.id))}>${t("gpus.one", { gpu: gpu.id })}</a>
      <div class="muted">${gpu.name}</div>
    </td>
    <td>
      <${Badge} area="gpuState" code=${gpu.status} />
      ${(gpu.reason ?? gpu.crowded) !== null && html`<div class="note">${gpu.reason ?? gpu.crowded}</div>`}
    </td>
    <td data-label=${t("gpus.models")}>${models.join(", ") || NONE}</td>
    <td class="number" data-label=${t("gpus.tasks")}>${gpu.task_count}/${gpu.slots}</td>
    <td class="number" data-label=${t("gpus.utilization")}>${percent(gpu.utilization)}</td>
    <td class="number" data-label=${t("gpus.memory")}>${bytes(gpu.memory_used)} / ${bytes(gpu.memory_total)}</td>
    <td class="number" data-label=${t("gpus.temperature")}>
      ${gpu.temperature === null ? NONE : `${number(gpu.temperature)} °C`}
    </td>
    <td class="number" data-label=${t("gpus.power")}>${gpu.power === null ? NONE : `${number(gpu.power)} W`}</td>
    ${isAdmin.value && html`<td class="number"><${Switch} gpu=${gpu} /></td>`}
  </tr>`;
}
