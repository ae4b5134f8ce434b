/** Each time that a GPU had the task. */
import { html } from "htm/preact";
import { duration, moment } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";

/** @typedef {import("./types.js").Task["attempts"][number]} Attempt */

/** @param {{ task: import("./types.js").Task }} props */
export function Attempts({ task: { attempts } }) {
  return html`<section class="panel" aria-labelledby="attempts">
    <h3 id="attempts">${t("task.attempts")}</h3>
    ${
      attempts.length === 0
        ? html`<p class="muted">${t("task.noAttempts")}</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-labelledby="attempts">
            <table>
              <thead>
                <tr>
                  <th scope="col" class="number">${t("task.attempt")}</th>
                  <th scope="col">${t("tasks.gpu")}</th>
                  <th scope="col">${t("task.started")}</th>
                  <th scope="col" class="number">${t("task.lasted")}</th>
                  <th scope="col">${t("task.reason")}</th>
                </tr>
              </thead>
              <tbody>
                ${attempts.map((attempt, index) => html`<${Row} key=${index} number=${index + 1} attempt=${attempt} />`)}
              </tbody>
            </table>
          </div>`
    }
  </section>`;
}

/** @param {{ number: number, attempt: Attempt }} props */
function Row({ number, attempt }) {
  const { gpu_id, started_at, ended_at, reason, alone, error, unlisted } = attempt;
  const lasted = ended_at === null ? null : (Date.parse(ended_at) - Date.parse(started_at)) / 1000;
  const end = ended_at === null ? t("task.runs") : tCode("attemptEnd", reason ?? "");
  const notes = [
    error,
    alone === true ? t("task.alone") : undefined,
    unlisted === undefined ? undefined : t("task.unlisted", { n: unlisted }),
  ];
  return html`<tr>
    <td class="number">${number}</td>
    <td><a href=${href("gpus", String(gpu_id))}>${gpu_id}</a></td>
    <td>${moment(started_at)}</td>
    <td class="number">${duration(lasted)}</td>
    <td>${end} ${notes.map((note) => note !== undefined && html`<div class="note">${note}</div>`)}</td>
  </tr>`;
}
