/** Usage: who used the GPUs, for what, and what it cost; as a chart, a table and a file. */
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { get } from "../core/api.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { maySubmit, role } from "../core/session.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { SaveCsv } from "../parts/save-csv.js";
import { ChartPanel } from "./chart-panel.js";
import { QuestionBar } from "./question-bar.js";
import { dayOf, daysBetween, questionOf } from "./question.js";
import { UsageTable } from "./table.js";

/** @typedef {import("../../../http/schemas/usage.ts").UsageAnswer} UsageAnswer */
/** @typedef {import("./question.js").Question} Question */

/** Days are those of whoever looks. */
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** @param {import("../pages.js").PageProps} props */
export function UsagePage({ query }) {
  const question = questionOf(query, dayOf(new Date()), role.value === "user" ? "model" : "user");
  const { from, to, by } = question;
  const load = () => Promise.all([reportOf(question, by), reportOf(question, `${by},day`)]);
  const { value, failure, reload } = useLoaded(load, [from, to, by]);
  return html`<div class="panels usage">
    <${QuestionBar} key=${`${from} ${to}`} question=${question}>
      <${Download} question=${question} />
    <//>
    ${
      value === null
        ? html`<${Missing} failure=${failure} reload=${reload} />`
        : html`<${Report} question=${question} groups=${value[0]} days=${value[1]} />`
    }
  </div>`;
}

/** @param {Question} question @param {string} by @returns {Promise<UsageAnswer>} */
function reportOf({ from, to }, by) {
  return get("usage", { from, to, by, tz: ZONE });
}

/** @param {{ question: Question, groups: UsageAnswer, days: UsageAnswer }} props */
function Report({ question, groups, days }) {
  const { from, to } = question;
  const shown = useMemo(() => daysBetween(from, to), [from, to]);
  if (groups.rows.length === 0) {
    return html`<p class="empty">
      ${t("usage.none")} ${maySubmit.value && html`<a href=${href("playground")}>${t("tasks.toPlayground")}</a>`}
    </p>`;
  }
  return html`<${ChartPanel} question=${question} rows=${days.rows} days=${shown} />
    <${UsageTable} by=${question.by} rows=${groups.rows} total=${groups.total} />`;
}

/** @param {{ question: Question }} props */
function Download({ question: { from, to, by } }) {
  const query = { from, to, by: `day,${by}`, tz: ZONE };
  return html`<${SaveCsv} path="usage" query=${query} name="usage-${from}-${to}.csv" />`;
}
