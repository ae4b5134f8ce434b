/** One model: what it is, and what it is on each GPU. */
import { html } from "htm/preact";
import { ago, bytes, duration, number } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";
import { isAdmin } from "../core/session.js";
import { Badge } from "../parts/badge.js";
import { useNow } from "../parts/now.js";
import { Actions } from "./actions.js";
import { failuresOf, progressOf } from "./states.js";

/** @typedef {import("./page.js").Model} Model */
/** @typedef {Model["instances"][number]} Instance */

/** @param {{ model: Model, tell: (said: import("./page.js").Said | null) => void }} props */
export function ModelCard({ model, tell }) {
  const { name, aliases, fetch, instances } = model;
  return html`<section class="panel model" aria-label=${name}>
    <div class="panel-head">
      <h2>${name}</h2>
      ${aliases.length > 0 && html`<span class="muted">${aliases.join(", ")}</span>`}
      ${isAdmin.value && html`<${Actions} model=${model} tell=${tell} />`}
    </div>
    <${About} model=${model} />
    ${fetch !== null && html`<${Progress} name=${name} fetched=${fetch} />`}
    ${failuresOf(model).map(
      ({ reason, gpus }) =>
        html`<p class="notice bad" key=${reason}>${t("models.failedOn", { gpus: gpus.join(", ") })} ${reason}</p>`,
    )}
    ${instances.length > 0 &&
    html`<ul class="places" aria-label=${t("models.where")}>
      ${instances.map((instance) => html`<${Place} key=${instance.gpu_id} instance=${instance} />`)}
    </ul>`}
  </section>`;
}

/** @param {{ model: Model }} props */
function About({ model }) {
  const { source, commit, licence, size_bytes, context, capabilities, load, keep_alive } = model;
  /** @type {[string, string | null][]} */
  const facts = [
    [t("models.source"), source && `${source}${commit === null ? "" : ` @ ${commit.slice(0, 8)}`}`],
    [t("models.size"), size_bytes === null ? null : bytes(size_bytes)],
    [t("models.context"), context === null ? null : t("models.contextTokens", { n: context })],
    [t("models.can"), capabilities?.map((one) => tCode("can", one)).join(", ") ?? t("models.canUnknown")],
    [t("models.licence"), licence],
    [
      t("models.when"),
      [
        t(load === "start" ? "models.onStart" : "models.onDemand"),
        keep_alive === null ? null : t("models.keepAlive", { time: duration(keep_alive) }),
      ]
        .filter((text) => text !== null)
        .join(", "),
    ],
  ];
  return html`<dl class="facts">
    ${facts
      .filter(([, value]) => value !== null && value !== "")
      .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** @param {{ name: string, fetched: NonNullable<Model["fetch"]> }} props */
function Progress({ name, fetched }) {
  const { share, seconds } = progressOf(fetched);
  const { bytes: done, total, rate } = fetched;
  return html`<div class="progress">
    <progress aria-label=${t("models.progress", { model: name })} max="1" value=${share ?? undefined}></progress>
    <span class="note">
      ${[
        total === null
          ? t("models.fetchedSome", { done: bytes(done) })
          : t("models.fetched", { done: bytes(done), total: bytes(total) }),
        rate > 0 ? t("models.rate", { rate: bytes(rate) }) : null,
        seconds === null ? null : t("models.left", { time: duration(Math.round(seconds)) }),
      ]
        .filter((text) => text !== null)
        .join(" · ")}
    </span>
  </div>`;
}

/** @param {{ instance: Instance }} props */
function Place({ instance }) {
  const { gpu_id, state, reason, memory_bytes, load_seconds, last_used_at, running } = instance;
  const now = useNow(true);
  const facts = [
    running > 0 ? t("models.running", { n: running }) : null,
    memory_bytes ? bytes(memory_bytes) : null,
    load_seconds === null ? null : t("models.loadsIn", { time: duration(load_seconds) }),
    last_used_at === null || running > 0 ? null : t("models.used", { time: ago(last_used_at, now) }),
    // A failure stands above, once for all GPUs.
    state === "failed" ? null : reason,
  ];
  return html`<li>
    <a href=${href("gpus", String(gpu_id))}>${t("tasks.gpuNumber", { id: number(gpu_id) })}</a>
    <${Badge} area="instance" code=${state} />
    <span class="note">${facts.filter((text) => text !== null).join(" · ")}</span>
  </li>`;
}
