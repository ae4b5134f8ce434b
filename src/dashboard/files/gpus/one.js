/** One GPU: its figures, what runs there, its models, its history. */
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { get } from "../core/api.js";
import { moment } from "../core/format.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { isAdmin } from "../core/session.js";
import { gpus } from "../core/store.js";
import { Badge } from "../parts/badge.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { Notice } from "../parts/notice.js";
import { Charts } from "./charts.js";
import { Switch } from "./drain.js";
import { Facts, Settings } from "./facts.js";
import { Events, Instances, Processes, RunningTasks } from "./tables.js";

/** @typedef {import("../core/types.ts").GpuDetails} GpuDetails */

/** Milliseconds after which it is asked for anew. */
const PERIOD = 2000;

/** @param {{ id: string }} props */
export function OneGpu({ id }) {
  const { value, failure, reload } = useLoaded(
    () => /** @type {Promise<GpuDetails>} */ (get(`gpus/${encodeURIComponent(id)}`)),
    [id],
  );
  useFresh(reload);
  const back = html`<p><a href=${href("gpus")}>${t("gpus.all")}</a></p>`;
  if (value === null) return html`${back}<${Missing} failure=${failure} reload=${reload} />`;
  return html`<div class="panels one-gpu">
    ${back}
    <${Head} gpu=${value} reload=${reload} />
    <${Charts} gpu=${value} />
    <div class="columns">
      <${Facts} gpu=${value} />
      <div class="panels">
        <${RunningTasks} gpu=${value} />
        <${Instances} gpu=${value} />
      </div>
    </div>
    <${Events} gpu=${value} />
    <div class="columns">
      <${Processes} gpu=${value} />
      <${Settings} gpu=${value} />
    </div>
  </div>`;
}

/** Asks anew when the list of all GPUs has come anew, which stops while nobody looks. @param {() => void} reload */
function useFresh(reload) {
  const last = useRef(Date.now());
  const all = gpus.value;
  useEffect(() => {
    if (Date.now() - last.current < PERIOD) return;
    last.current = Date.now();
    reload();
  }, [all]);
}

/** @param {{ gpu: GpuDetails, reload: () => void }} props */
function Head({ gpu, reload }) {
  const { id, name, status, since, reason, crowded } = gpu;
  return html`<section class="panel">
    <div class="panel-head">
      <h2>${t("gpus.one", { gpu: id })}</h2>
      <${Badge} area="gpuState" code=${status} />
      <span class="muted">${name}</span>
      <span class="muted">${t("gpus.since", { time: moment(since) })}</span>
      ${isAdmin.value && html`<span class="actions"><${Switch} gpu=${gpu} onDone=${reload} /></span>`}
    </div>
    ${reason !== null && html`<${Notice} kind="plain" text=${reason} />`}
    ${crowded !== null && html`<${Notice} kind="plain" text=${t("gpus.crowded", { why: crowded })} />`}
  </section>`;
}
