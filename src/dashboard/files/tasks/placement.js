/** Why a task is on its GPU, and on no other. */
import { html } from "htm/preact";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";

/** @typedef {NonNullable<import("./types.js").Task["placement"]>} Placement */

/** @param {{ task: import("./types.js").Task }} props */
export function PlacementPanel({ task: { placement } }) {
  return html`<section class="panel" aria-labelledby="placement">
    <h3 id="placement">${t("task.placement")}</h3>
    ${
      placement === undefined
        ? html`<p class="muted">${t("task.noPlacement")}</p>`
        : html`<${PlacementTable} placement=${placement} />`
    }
  </section>`;
}

/** @param {{ placement: Placement }} props */
export function PlacementTable({ placement: { reason, strategy, gpu_id, candidates, others } }) {
  const counts = Object.entries(others);
  return html`<p>${reason} <span class="muted">${strategy}</span></p>
    ${
      candidates.length > 0 &&
      html`<table class="scores">
        <thead>
          <tr>
            <th scope="col">${t("tasks.gpu")}</th>
            <th scope="col" class="number">${t("task.score")}</th>
            <th scope="col"><span class="unseen">${t("task.chosen")}</span></th>
          </tr>
        </thead>
        <tbody>
          ${candidates.map(
            (one) =>
              html`<tr key=${one.gpu_id}>
                <th scope="row"><a href=${href("gpus", String(one.gpu_id))}>${one.gpu_id}</a></th>
                <td class="number">${number(one.score, 3)}</td>
                <td>${one.gpu_id === gpu_id && html`<span class="badge good">${t("task.chosen")}</span>`}</td>
              </tr>`,
          )}
        </tbody>
      </table>`
    }
    ${
      counts.length > 0 &&
      html`<p class="note">
        ${t("task.others")}: ${counts.map(([why, n]) => `${t("task.othersCount", { n })} ${why}`).join(", ")}
      </p>`
    }`;
}
