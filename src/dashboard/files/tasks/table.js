/** Tasks as rows. On a phone each row is a card; its cells then show their names. */
import { html } from "htm/preact";
import { ago, duration, moment, NONE, number, rate } from "../core/format.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { role } from "../core/session.js";
import { useNow } from "../parts/now.js";
import { Badge } from "../parts/badge.js";
import { phasesOf, speedOf } from "./phases.js";
import { hasEnded } from "./types.js";

/** Characters of an answer that its row shows at most. */
const SNIPPET = 160;

/** With the class of their cells. */
const COLUMNS = /** @type {const} */ ([
  ["tasks.status", ""],
  ["tasks.task", ""],
  ["tasks.user", ""],
  ["tasks.model", ""],
  ["tasks.gpu", "number"],
  ["tasks.submitted", "number"],
  ["tasks.waited", "number"],
  ["tasks.took", "number"],
  ["tasks.tokens", "number"],
  ["tasks.speed", "number"],
  ["tasks.answer", ""],
]);

/** @typedef {import("./types.js").Task} Task */

/** @param {{ tasks: readonly Task[] }} props newest first */
export function TaskTable({ tasks }) {
  const now = useNow(true);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("tasks.title")}>
    <table class="cards tasks">
      <thead>
        <tr>
          ${COLUMNS.filter(([word]) => word !== "tasks.user" || role.value !== "user").map(
            ([word, kind]) => html`<th key=${word} scope="col" class=${kind}>${t(word)}</th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${tasks.map((task) => html`<${Row} key=${task.task_id} task=${task} now=${now} />`)}
      </tbody>
    </table>
  </div>`;
}

/** @param {{ task: Task, now: number }} props */
function Row({ task, now }) {
  const phases = phasesOf(task, now);
  const waited = phases.find(({ name }) => name === "queued")?.seconds ?? 0;
  const ran = task.started_at === null ? null : phases.reduce((sum, { seconds }) => sum + seconds, 0) - waited;
  const tokens = (hasEnded(task) && task.result?.usage.completion_tokens) || task.usage?.completion_tokens || null;
  return html`<tr>
    <td><${Badge} area="status" code=${task.status} /></td>
    <td><a class="id" href=${href("tasks", task.task_id)} title=${task.task_id}>${shortId(task.task_id)}</a></td>
    ${role.value !== "user" && html`<td data-label=${t("tasks.user")}>${task.user}</td>`}
    <td data-label=${t("tasks.model")} class=${task.model === undefined ? "unknown" : ""}>${task.model ?? NONE}</td>
    <${Figure} name=${t("tasks.gpu")} text=${String(task.gpu_id ?? NONE)} />
    <${Figure} name=${t("tasks.submitted")} text=${ago(task.created_at, now)} title=${moment(task.created_at)} />
    <${Figure} name=${t("tasks.waited")} text=${duration(waited)} />
    <${Figure} name=${t("tasks.took")} text=${duration(ran)} />
    <${Figure} name=${t("tasks.tokens")} text=${number(tokens)} />
    <${Figure} name=${t("tasks.speed")} text=${rate(speedOf(task))} />
    <td class="snippet">${snippetOf(task)}</td>
  </tr>`;
}

/** A cell with a figure. On a phone, one that is not known is left out. @param {{ name: string, text: string, title?: string }} props */
function Figure({ name, text, title }) {
  return html`<td data-label=${name} class="number ${text === NONE ? "unknown" : ""}" title=${title}>${text}</td>`;
}

/** Ids begin with the time: those of one minute begin alike, and differ at their end. @param {string} id */
export function shortId(id) {
  return `…${id.slice(-8)}`;
}

/** @param {Task} task */
function snippetOf({ error, result, kind }) {
  if (error !== undefined) return html`<span class="bad">${error}</span>`;
  if (kind === "embedding") return "";
  const text = result?.text.slice(0, SNIPPET).replaceAll(/\s+/g, " ").trim() ?? "";
  return (result?.text.length ?? 0) > SNIPPET ? `${text}…` : text;
}
