/** All other facts of a task. */
import { html } from "htm/preact";
import { duration, moment, number } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";
import { samplingSet } from "./sampling.js";
import { shortId } from "./table.js";

/** @typedef {import("./types.js").Task} Task */

/** @param {{ task: Task }} props */
export function Facts({ task }) {
  const facts = [...placeOf(task), ...timesOf(task), ...costsOf(task)];
  return html`<section class="panel" aria-labelledby="facts">
    <h3 id="facts">${t("task.facts")}</h3>
    <dl class="facts">
      ${facts
        .filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "")
        .map(
          ([name, value]) =>
            html`<div key=${name}>
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>`,
        )}
    </dl>
  </section>`;
}

/** @typedef {[name: string, value: unknown]} Fact a value that is not there is not shown */

/** @param {Task} task @returns {Fact[]} */
function placeOf({ user, model, gpu_id, strategy, task_type, priority, batch_id, retry_of }) {
  return [
    [t("tasks.user"), html`<a href=${href("tasks", "", { user })}>${user}</a>`],
    [t("tasks.model"), model],
    [t("tasks.gpu"), gpu_id !== null && html`<a href=${href("gpus", String(gpu_id))}>${gpu_id}</a>`],
    [t("task.strategy"), strategy],
    [t("tasks.type"), task_type],
    [t("task.priority"), tCode("priority", priority)],
    [t("tasks.batch"), batch_id && linkToBatch(batch_id)],
    [t("task.retryOf"), retry_of && linkToTask(retry_of)],
  ];
}

/** @param {string} id */
function linkToTask(id) {
  return html`<a href=${href("tasks", id)}>${shortId(id)}</a>`;
}

/** @param {string} id */
function linkToBatch(id) {
  return html`<a href=${href("tasks", "", { batch_id: id })}>${shortId(id)}</a>`;
}

/** @param {Task} task @returns {Fact[]} */
function timesOf({ created_at, started_at, finished_at, deadline_at }) {
  return [
    [t("task.created"), moment(created_at)],
    [t("task.started"), started_at && moment(started_at)],
    [t("task.ended"), finished_at && moment(finished_at)],
    [t("task.deadline"), deadline_at && moment(deadline_at)],
  ];
}

/** @param {Task} task @returns {Fact[]} */
function costsOf(task) {
  const { result, usage } = task;
  return [
    [t("task.finish"), result && tCode("finish", result.finish_reason)],
    [t("task.usage"), usageOf(task)],
    [t("task.gpuSeconds"), usage?.gpu_seconds == null ? null : duration(usage.gpu_seconds)],
    [t("task.energy"), usage?.energy_joules == null ? null : `${number(usage.energy_joules, 1)} J`],
    [t("task.sampling"), samplingOf(task)],
  ];
}

/** @param {Task} task */
function usageOf({ usage, result }) {
  const { prompt_tokens, cached_tokens, completion_tokens } = usage ?? result?.usage ?? {};
  return [
    prompt_tokens == null ? null : t("task.promptTokens", { n: prompt_tokens }),
    cached_tokens ? t("task.cachedTokens", { n: cached_tokens }) : null,
    completion_tokens == null ? null : t("task.completionTokens", { n: completion_tokens }),
  ]
    .filter((text) => text !== null)
    .join(", ");
}

/** By the names of the API: whoever looks here has set them there. @param {Task} task */
function samplingOf(task) {
  const set = samplingSet(task);
  return set === "" ? null : html`<code>${set}</code>`;
}
