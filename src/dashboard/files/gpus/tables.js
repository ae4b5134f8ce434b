/** The tasks, models and processes on one GPU, and the events of its past. */
import { html } from "htm/preact";
import { ago, bytes, duration, moment, NONE, number } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";
import { serverNow } from "../core/store.js";
import { Badge } from "../parts/badge.js";

/** @typedef {import("../core/types.ts").GpuDetails} GpuDetails */

/** @param {{ gpu: GpuDetails }} props */
export function RunningTasks({ gpu }) {
  const { running_tasks: tasks, slots, task_count: all } = gpu;
  return html`<section class="panel">
    <h2>${t("gpus.running")} <span class="muted">${all}/${slots}</span></h2>
    ${
      tasks.length === 0
        ? html`<p class="note">${t("gpus.nothingRuns")}</p>`
        : html`<table>
            <tbody>
              ${tasks.map(
                ({ task_id: id, user, started_at: at }) =>
                  html`<tr>
                    <td><a class="mono" href=${href("tasks", id)}>${id.slice(-8)}</a></td>
                    <td>${user}</td>
                    <td class="number">${at === null ? NONE : duration((serverNow() - Date.parse(at)) / 1000)}</td>
                  </tr>`,
              )}
            </tbody>
          </table>`
    }
  </section>`;
}

/** @param {{ gpu: GpuDetails }} props */
export function Instances({ gpu }) {
  return html`<section class="panel scroll">
    <h2>${t("gpus.models")}</h2>
    <table>
      <tbody>
        ${gpu.instances.map(
          (one) =>
            html`<tr>
              <td>${one.model ?? gpu.model ?? NONE}</td>
              <td>
                <${Badge} area="instance" code=${one.state} />
                ${one.reason !== null && html`<div class="note">${one.reason}</div>`}
              </td>
              <td class="number" title=${t("gpus.takes")}>${bytes(one.memory_bytes)}</td>
              <td class="number">${t("gpus.runningThere", { n: one.running })}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

/** @param {{ gpu: GpuDetails }} props */
export function Processes({ gpu }) {
  const { processes } = gpu;
  if (processes === null) return null;
  return html`<section class="panel">
    <h2>${t("gpus.processes")}</h2>
    ${
      processes.length === 0
        ? html`<p class="note">${t("gpus.noProcesses")}</p>`
        : html`<table>
            <tbody>
              ${processes.map(
                ({ pid, memory, utilization, own }) =>
                  html`<tr>
                    <td class="mono">${pid}</td>
                    <td>${own ? t("gpus.ownProcess") : t("gpus.otherProcess")}</td>
                    <td class="number">${bytes(memory)}</td>
                    <td class="number">${utilization === null ? NONE : `${number(utilization)} %`}</td>
                  </tr>`,
              )}
            </tbody>
          </table>`
    }
  </section>`;
}

/** @param {{ gpu: GpuDetails }} props */
export function Events({ gpu }) {
  return html`<section class="panel scroll">
    <h2>${t("gpus.events")}</h2>
    <table class="events">
      <tbody>
        ${gpu.events.toReversed().map(
          ({ at, event, reason }) =>
            html`<tr>
              <td class="muted" title=${ago(at, serverNow())}>${moment(at)}</td>
              <td>${tCode("gpuState", event)}</td>
              <td>${reason}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}
