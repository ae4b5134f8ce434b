/** The facts of one GPU, and how its engine computes. */
import { html } from "htm/preact";
import { bytes, NONE, number, percent } from "../core/format.js";
import { t } from "../core/i18n.js";

/** @typedef {import("../core/types.ts").GpuDetails} GpuDetails */

/** @param {{ gpu: GpuDetails }} props */
export function Facts({ gpu }) {
  return html`<section class="panel">
    <h2>${t("gpus.facts")}</h2>
    <dl class="facts">
      ${[...measured(gpu), ...identity(gpu)].map(
        ([title, text]) =>
          html`<div>
            <dt>${title}</dt>
            <dd>${text}</dd>
          </div>`,
      )}
    </dl>
  </section>`;
}

/** @param {number | null} value @param {string} unit */
function withUnit(value, unit) {
  return value === null ? NONE : `${number(value)} ${unit}`;
}

/** The limit is left out where the device tells none. @param {GpuDetails} gpu */
function temperatureOf({ temperature, max_temperature: most }) {
  const value = withUnit(temperature, "°C");
  return most === null ? value : t("gpus.upTo", { value, most: withUnit(most, "°C") });
}

/** @param {GpuDetails} gpu */
function powerOf({ power, power_limit: limit }) {
  const part = withUnit(power, "W");
  return limit === null ? part : t("gpus.ofAll", { part, all: withUnit(limit, "W") });
}

/** @param {GpuDetails} gpu @returns {[title: string, text: string][]} */
function measured(gpu) {
  const { ecc, throttle, xids } = gpu;
  const counts = Object.entries(xids).map(([xid, count]) => t("gpus.xidCount", { xid, count }));
  return [
    [t("gpus.utilization"), percent(gpu.utilization)],
    [t("gpus.memory"), t("gpus.ofAll", { part: bytes(gpu.memory_used), all: bytes(gpu.memory_total) })],
    [t("gpus.temperature"), temperatureOf(gpu)],
    [t("gpus.power"), powerOf(gpu)],
    [t("gpus.energy"), gpu.energy === null ? NONE : `${number(gpu.energy / 3_600_000, 2)} kWh`],
    [t("gpus.throttle"), throttle === null ? NONE : throttle.join(", ") || t("gpus.noThrottle")],
    [
      t("gpus.ecc"),
      ecc === null ? NONE : t("gpus.eccCounts", { corrected: ecc.corrected, uncorrected: ecc.uncorrected }),
    ],
    [t("gpus.xids"), counts.join(", ") || t("gpus.noXids")],
    [t("gpus.others"), share(gpu.others_memory, gpu.others_utilization)],
  ];
}

/** @param {number | null} memory @param {number | null} time */
function share(memory, time) {
  if (memory === null && time === null) return NONE;
  return t("gpus.othersShare", { memory: percentOf(memory), time: percentOf(time) });
}

/** @param {number | null} value 0 to 1 */
function percentOf(value) {
  return percent(value === null ? null : value * 100);
}

/** @param {GpuDetails} gpu @returns {[title: string, text: string][]} */
function identity(gpu) {
  const { uuid, uuids, pci_bus_id: bus, pci_bus_ids: buses, machine } = gpu;
  /** @type {[title: string, text: string][]} */
  const where = machine === undefined ? [] : [[t("gpus.machine"), machine]];
  return [
    ...where,
    [t("gpus.uuid"), uuids?.join(", ") ?? uuid ?? NONE],
    [t("gpus.bus"), buses?.join(", ") ?? bus ?? NONE],
    [t("gpus.capability"), number(gpu.compute_capability, 1)],
    [t("gpus.worker"), gpu.pid === null ? NONE : t("gpus.workerPid", { pid: String(gpu.pid), restarts: gpu.restarts })],
    [t("gpus.device"), gpu.device ?? NONE],
  ];
}

/** @param {{ gpu: GpuDetails }} props */
export function Settings({ gpu }) {
  const { settings, memory_note: note } = gpu;
  if (settings === null || settings.length === 0) return null;
  return html`<section class="panel">
    <h2>${t("gpus.settings")}</h2>
    ${note !== null && html`<p class="note">${note}</p>`}
    <table class="cards engine">
      <tbody>
        ${settings.map(
          ({ name, value, reason }) =>
            html`<tr>
              <th scope="row" class="mono">${name}</th>
              <td>${String(value)}</td>
              <td class="muted">${reason}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}
