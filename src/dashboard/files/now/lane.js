/** One GPU on Now: what it is, its tasks as bars, its figures. */
import { html } from "htm/preact";
import { useRef } from "preact/hooks";
import { colors } from "../core/colors.js";
import { bytes, NONE, number, percent } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";
import { history, timeline } from "../core/store.js";
import { Badge } from "../parts/badge.js";
import { Canvas } from "../parts/canvas.js";
import { drawFigures } from "./draw-figures.js";
import { drawLane } from "./draw-lane.js";
import { pointing } from "./pointing.js";
import { range, stepOf } from "./window.js";

/** @typedef {import("../core/types.ts").Gpu} Gpu */

/** @param {{ gpu: Gpu, isDense: boolean }} props isDense: there are many, so each has little room */
export function LaneOfGpu({ gpu, isDense }) {
  return html`<section class="lane ${isDense ? "dense" : ""}" aria-label=${t("now.laneOf", { gpu: gpu.id })}>
    <div class="lane-head">
      <div class="lane-name">
        <a href=${href("gpus", String(gpu.id))}>${t("gpus.one", { gpu: gpu.id })}</a>
        <${Badge} area="gpuState" code=${gpu.status} title=${gpu.reason ?? undefined} />
        <span class="muted slots" title=${t("now.slots")}>${gpu.task_count}/${gpu.slots}</span>
      </div>
      <div class="lane-what muted" title=${gpu.name}>${gpu.name}</div>
      ${
        gpu.status !== "ready" && gpu.reason !== null
          ? html`<div class="lane-what warn" title=${gpu.reason}>${gpu.reason}</div>`
          : html`<${Instances} gpu=${gpu} />`
      }
    </div>
    <${Bars} gpu=${gpu} />
    <${Figures} gpu=${gpu} />
  </section>`;
}

/** The models of a GPU, those first that are there. @param {{ gpu: Gpu }} props */
function Instances({ gpu }) {
  const order = ["ready", "loading", "unloading", "failed", "cold"];
  const sorted = gpu.instances.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  return html`<div class="lane-what">
    ${sorted.map(
      ({ model, state, reason }) =>
        html`<span class="instance ${state}" title=${reason ?? tCode("instance", state)}
          >${model ?? gpu.model ?? NONE}${state !== "ready" && html` <span class="muted">${tCode("instance", state)}</span>`}</span
        >`,
    )}
  </div>`;
}

/** @param {{ gpu: Gpu }} props */
function Bars({ gpu }) {
  const width = useRef(0);
  const { id, slots, task_count: running } = gpu;
  return html`<${Canvas}
    class="bars"
    tabindex="0"
    role="application"
    aria-label=${t("now.barsOf", { gpu: id, n: running })}
    aria-describedby="now-hover"
    data-gpu=${id}
    data-slots=${slots}
    period=${() => stepOf(width.current)}
    draw=${(/** @type {CanvasRenderingContext2D} */ context, /** @type {{ width: number, height: number }} */ size) => {
      width.current = size.width;
      const lane = timeline.lanes.get(id);
      const view = { ...range(), ...size, slots };
      drawLane(context, lane, view, colors.value);
      pointing.mark(context, id, view);
    }}
    ...${pointing.handlers}
  />`;
}

/** @param {{ gpu: Gpu }} props */
function Figures({ gpu }) {
  const most = {
    utilization: 100,
    memory: 100,
    temperature: gpu.max_temperature ?? 100,
    power: gpu.power_limit ?? Math.max(1, gpu.power ?? 1),
  };
  const isHot = gpu.status === "hot" || (gpu.throttle ?? []).length > 0;
  return html`<div class="figures-of">
    <${Canvas}
      class="sparks"
      aria-hidden="true"
      period=${() => 1000}
      draw=${(/** @type {CanvasRenderingContext2D} */ context, /** @type {{ width: number, height: number }} */ size) =>
        drawFigures(context, history.of(gpu.id), { ...range(), ...size, most }, colors.value)}
    />
    <dl>
      <div>
        <dt class="unseen">${t("gpus.utilization")}</dt>
        <dd title=${t("gpus.utilization")}>${percent(gpu.utilization)}</dd>
      </div>
      <div>
        <dt class="unseen">${t("gpus.memory")}</dt>
        <dd title="${t("gpus.memory")}: ${bytes(gpu.memory_used)} / ${bytes(gpu.memory_total)}">
          ${bytes(gpu.memory_used)}
        </dd>
      </div>
      <div>
        <dt class="unseen">${t("gpus.temperature")}</dt>
        <dd class=${isHot ? "warn" : ""} title=${t("gpus.temperature")}>
          ${gpu.temperature === null ? NONE : `${number(gpu.temperature)} °C`}
        </dd>
      </div>
      <div>
        <dt class="unseen">${t("gpus.power")}</dt>
        <dd title=${t("gpus.power")}>${gpu.power === null ? NONE : `${number(gpu.power)} W`}</dd>
      </div>
    </dl>
  </div>`;
}
