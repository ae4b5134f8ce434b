/** The page Now: what runs where, and what waits for what. */
import { html } from "htm/preact";
import { t } from "../core/i18n.js";
import { gpus, queue } from "../core/store.js";

export function NowPage() {
  const all = gpus.value ?? [];
  const running = all.reduce((sum, { task_count }) => sum + task_count, 0);
  return html`<dl class="figures">
    <div>
      <dt>${t("now.running")}</dt>
      <dd>${running}</dd>
    </div>
    <div>
      <dt>${t("now.waiting")}</dt>
      <dd>${queue.value?.total ?? 0}</dd>
    </div>
  </dl>`;
}
