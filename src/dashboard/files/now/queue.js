/** The tasks that wait, the oldest first, and why. */
import { html } from "htm/preact";
import { useEffect } from "preact/hooks";
import { duration, moment } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";
import { queue, serverNow, watchQueue } from "../core/store.js";

export function Queue() {
  useEffect(watchQueue, []);
  const { total, tasks } = queue.value ?? { total: 0, tasks: [] };
  return html`<section class="panel queue">
    <h2>${t("now.queue")} ${total > 0 && html`<span class="muted">${t("now.waitingTasks", { n: total })}</span>`}</h2>
    ${total === 0 && html`<p class="note">${t("now.nobodyWaits")}</p>`}
    <ul>
      ${tasks.map((task) => html`<${Waiting} key=${task.task_id} task=${task} />`)}
    </ul>
    ${
      total > tasks.length &&
      tasks.length > 0 &&
      html`<p class="note">
        <a href=${href("tasks", "", { status: "queued" })}>${t("now.andMore", { n: total - tasks.length })}</a>
      </p>`
    }
  </section>`;
}

/** @param {{ task: import("../core/types.ts").Task }} props */
function Waiting({ task }) {
  const { waiting } = task;
  const since = waiting?.since ?? task.created_at;
  return html`<li>
    <a class="mono" href=${href("tasks", task.task_id)}>${task.task_id.slice(-8)}</a>
    <span class="who-waits">${task.user}</span>
    ${waiting && html`<span class="badge warn">${tCode("waiting", waiting.reason)}</span>`}
    <span class="muted since" title=${moment(since)}>${duration((serverNow() - Date.parse(since)) / 1000)}</span>
    ${waiting && html`<span class="why">${waiting.sentence}</span>`}
  </li>`;
}
