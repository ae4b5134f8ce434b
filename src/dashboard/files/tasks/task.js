/** One task: what it said, why it is where it is, how long it took; and what can be done with it. */
import { html } from "htm/preact";
import { useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "../core/api.js";
import { moment } from "../core/format.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { maySubmit } from "../core/session.js";
import { changedTasks } from "../core/store.js";
import { Badge } from "../parts/badge.js";
import { Copy } from "../parts/copy.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { Notice } from "../parts/notice.js";
import { Actions } from "./actions.js";
import { Answer } from "./answer.js";
import { Attempts } from "./attempts.js";
import { Facts } from "./facts.js";
import { useOutput } from "./output.js";
import { PlacementPanel } from "./placement.js";
import { Request } from "./request.js";
import { TimeBar } from "./time-bar.js";
import { hasEnded } from "./types.js";
import { Webhooks } from "./webhooks.js";

/** Milliseconds between two looks at a task that waits: why it does may change without an event. */
const PAUSE = 2000;

/** @typedef {import("./types.js").Task} Task */

/** @param {{ id: string }} props */
export function OneTask({ id }) {
  const { value: task, failure, reload } = useLoaded(() => load(id), [id]);
  const output = useOutput(task, reload);
  useFreshness(id, task?.status === "queued", reload);
  const back = html`<a href=${href("tasks")}>${t("task.back")}</a>`;
  if (task === null)
    return html`<p>${back}</p>
      <${Missing} failure=${failure} reload=${reload} />`;
  return html`<div class="one-task panels">
    <header>
      ${back}
      <h2 class="mono">${task.task_id}</h2>
      <${Copy} text=${task.task_id} label=${t("task.id")} />
      <${Badge} area="status" code=${task.status} />
      <${Actions} task=${task} onChanged=${reload} />
    </header>
    <${Trouble} task=${task} />
    <div class="columns">
      <div class="panels">
        <${Answer} task=${task} output=${output} />
        <${Request} task=${task} />
      </div>
      <div class="panels">
        <${TimeBar} task=${task} />
        <${Facts} task=${task} />
        <${PlacementPanel} task=${task} />
        <${Attempts} task=${task} />
        ${task.webhook_url !== undefined && html`<${Webhooks} task=${task} />`}
      </div>
    </div>
  </div>`;
}

/**
 * Looks at the task anew when somebody has seen it change: of one that goes back into the queue its stream says nothing.
 * @param {string} id
 * @param {boolean} waits
 * @param {() => void} reload
 */
function useFreshness(id, waits, reload) {
  useSignalEffect(() => {
    if (changedTasks.value.some((change) => change.id === id)) reload();
  });
  useEffect(() => {
    if (!waits) return undefined;
    const timer = setInterval(() => !document.hidden && reload(), PAUSE);
    return () => clearInterval(timer);
  }, [waits, reload]);
}

/** With what was asked, which is not for those who only watch. @param {string} id @returns {Promise<Task>} */
function load(id) {
  return get(`task/${encodeURIComponent(id)}`, { include: maySubmit.value ? "text" : undefined });
}

/** Why it has failed, or waits. @param {{ task: Task }} props */
function Trouble({ task }) {
  const { error, error_code, waiting } = task;
  if (error !== undefined) {
    return html`<${Notice} kind="bad" text=${error_code === undefined ? error : `${error} (${error_code})`} />`;
  }
  if (waiting === undefined || hasEnded(task)) return null;
  const since = t("task.waitsSince", { time: moment(waiting.since) });
  const ahead = waiting.ahead > 0 ? t("task.ahead", { n: waiting.ahead }) : null;
  return html`<p class="notice warn" role="status">
    ${waiting.sentence} <span class="muted">${[since, ahead].filter((text) => text !== null).join(" · ")}</span>
  </p>`;
}
