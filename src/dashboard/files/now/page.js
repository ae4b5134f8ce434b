/** The page Now: what runs where over the last minutes, and what waits for what. */
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { redrawAll } from "../core/frames.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { maySubmit, role } from "../core/session.js";
import { changedTasks, driverNotes, gpus, queue, timeline } from "../core/store.js";
import { isDark } from "../core/theme.js";
import { Hover } from "./hover.js";
import { LaneOfGpu } from "./lane.js";
import { Queue } from "./queue.js";
import { chooseMinutes, MINUTES, minutes } from "./window.js";

/** From so many GPUs on each has little room. */
const MANY = 8;

export function NowPage() {
  const all = gpus.value;
  const dark = isDark();
  useEffect(redrawAll, [minutes.value, dark]);
  if (all === null) return html`<p class="empty">${t("common.loading")}</p>`;
  if (all.length === 0) return html`<${NoGpu} />`;
  return html`<div class="now">
    <${Figures} all=${all} />
    <section class="lanes" aria-label=${t("now.lanes")}>
      <${Axis} />
      ${machinesOf(all).map(
        ([machine, those]) =>
          html`${machine !== "" && html`<h2 class="machine">${machine}</h2>`}
          ${those.map((gpu) => html`<${LaneOfGpu} key=${gpu.id} gpu=${gpu} isDense=${all.length > MANY} />`)}`,
      )}
      <${Legend} />
    </section>
    <${NothingYet} />
    <${Queue} />
    <${Hover} />
  </div>`;
}

/** GPUs by the machine they are in; one without a name is this one. @param {readonly import("../core/types.ts").Gpu[]} all */
function machinesOf(all) {
  return [...Map.groupBy(all, (gpu) => ("machine" in gpu && typeof gpu.machine === "string" ? gpu.machine : ""))];
}

/** @param {{ all: readonly import("../core/types.ts").Gpu[] }} props */
function Figures({ all }) {
  const running = all.reduce((sum, { task_count: count }) => sum + count, 0);
  const slots = all.reduce((sum, gpu) => sum + (gpu.status === "ready" ? gpu.slots : 0), 0);
  const ready = all.filter(({ status }) => status === "ready").length;
  return html`<dl class="figures">
    <div>
      <dt>${t("now.running")}</dt>
      <dd>${running}<small>/${slots}</small></dd>
    </div>
    <div>
      <dt>${t("now.waiting")}</dt>
      <dd>${queue.value?.total ?? 0}</dd>
    </div>
    <div>
      <dt>${t("now.gpusReady")}</dt>
      <dd>${ready}<small>/${all.length}</small></dd>
    </div>
    ${role.value === "user" && html`<p class="note">${t("now.onlyYours")}</p>`}
  </dl>`;
}

function Axis() {
  const end = minutes.value;
  return html`<div class="axis">
    <div class="tabs" role="group" aria-label=${t("now.minutesShown")}>
      ${MINUTES.map(
        (value) =>
          html`<button type="button" aria-pressed=${value === end} onClick=${() => chooseMinutes(value)}>
            ${t("time.minutes", { n: value })}
          </button>`,
      )}
    </div>
    <div class="ticks" aria-hidden="true">
      <span>${t("time.ago", { time: t("time.minutes", { n: end }) })}</span>
      <span>${t("now.now")}</span>
    </div>
    <div class="figure-names" aria-hidden="true">
      <span>${t("gpus.utilization")}</span><span>${t("gpus.memory")}</span> <span>${t("gpus.temperature")}</span
      ><span>${t("gpus.power")}</span>
    </div>
  </div>`;
}

function Legend() {
  return html`<ul class="lane-legend">
    <li><i class="queued"></i>${t("now.inQueue")}</li>
    <li><i class="running pale"></i>${t("now.prompt")}</li>
    <li><i class="running"></i>${t("status.running")}</li>
    <li><i class="completed"></i>${t("status.completed")}</li>
    <li><i class="failed"></i>${t("status.failed")}</li>
    <li><i class="canceled"></i>${t("status.canceled")}</li>
  </ul>`;
}

/** A newcomer is told what to do. */
function NothingYet() {
  // Looked at again when there is news: the timeline itself tells nobody.
  if (changedTasks.value.length > 0 || timeline.lanes.size > 0) return null;
  return html`<p class="empty">
    ${t("now.noTask")} ${maySubmit.value && html`<a href=${href("playground")}>${t("now.tryPlayground")}</a>`}
  </p>`;
}

function NoGpu() {
  return html`<div class="empty">
    <p>${t("gpus.none")}</p>
    ${driverNotes.value.map((note) => html`<p>${note}</p>`)}
  </div>`;
}
