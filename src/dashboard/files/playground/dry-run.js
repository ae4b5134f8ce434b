/** Where the request would go if it were sent now; asked again when the form rests. */
import { effect, signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { call, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Notice } from "../parts/notice.js";
import { PlacementTable } from "../tasks/placement.js";
import { schemaFault } from "./request.js";
import { body, form, isRunning } from "./state.js";

/** Milliseconds without a change after which it is asked. */
const REST = 400;

/**
 * @typedef {object} Forecast
 * @property {number | null} gpu_id
 * @property {"running" | "queued"} status
 * @property {import("../tasks/placement.js").Placement | null} [placement]
 * @property {import("../core/types.ts").Task["waiting"] | null} waiting
 */

/** @type {import("@preact/signals").Signal<{ forecast: Forecast } | { failure: string } | null>} */
const known = signal(null);

export function DryRun() {
  useEffect(() => effect(askSoon), []);
  const { value } = known;
  return html`<section class="panel" aria-labelledby="dry-run" aria-live="polite">
    <h3 id="dry-run">${t("play.dry")}</h3>
    ${value === null && html`<p class="muted">${t("play.dryEmpty")}</p>`}
    ${value !== null && "failure" in value && html`<${Notice} kind="bad" text=${value.failure} />`}
    ${value !== null && "forecast" in value && html`<${Told} forecast=${value.forecast} />`}
  </section>`;
}

/** Asks when the form has changed, or a run has ended. */
function askSoon() {
  const isUnfit = form.value.prompt === "" || schemaFault(form.value) !== null;
  // An answer that has come is a part of the next request.
  const asked = isRunning() ? null : body();
  if (isUnfit || asked === null) {
    known.value = null;
    return undefined;
  }
  const left = new AbortController();
  const timer = setTimeout(() => void ask(asked, left.signal), REST);
  return () => {
    clearTimeout(timer);
    left.abort();
  };
}

/** @param {Record<string, unknown>} asked @param {AbortSignal} left */
async function ask(asked, left) {
  try {
    /** @type {Forecast} */
    const forecast = await call("POST", "predict", { query: { dry_run: "true" }, body: asked, signal: left });
    known.value = { forecast };
  } catch (error) {
    if (!left.aborted) known.value = { failure: sentenceOf(error) };
  }
}

/** @param {{ forecast: Forecast }} props */
function Told({ forecast: { gpu_id, status, placement, waiting } }) {
  const runs = status === "running" && gpu_id !== null;
  return html`<p>
      <b>${runs ? t("play.dryRuns", { gpu: String(gpu_id) }) : t("play.dryWaits")}</b> ${waiting?.sentence}
    </p>
    ${placement && html`<${PlacementTable} placement=${placement} />`}`;
}
