/** The audit log, for admins: who did what to what. The filters stand in the address, so that what was found can be kept as a link. */
import { html } from "htm/preact";
import { get } from "../core/api.js";
import { moment } from "../core/format.js";
import { t } from "../core/i18n.js";
import { go, href } from "../core/router.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { SaveCsv } from "../parts/save-csv.js";

/** @typedef {import("../../../http/schemas/audit.ts").AuditRowView} Row */
/** @typedef {{ rows: readonly Row[], next: string | null }} Answer */

const TEXTS = /** @type {const} */ (["user", "action", "target"]);
const TIMES = /** @type {const} */ (["since", "until"]);

/** @param {URLSearchParams} query @returns {Record<string, string>} what the server is asked for */
function filterOf(query) {
  /** @type {Record<string, string>} */
  const filter = {};
  for (const name of TEXTS) if (query.get(name)) filter[name] = query.get(name) ?? "";
  for (const name of TIMES) {
    const time = new Date(query.get(name) ?? "");
    if (!Number.isNaN(time.getTime())) filter[name] = time.toISOString();
  }
  return filter;
}

/** @param {import("../pages.js").PageProps} props */
export function AuditPage({ query }) {
  const filter = filterOf(query);
  const after = query.get("after") ?? undefined;
  const { value, failure, reload } = useLoaded(
    () => /** @type {Promise<Answer>} */ (get("audit", { ...filter, after })),
    [query.toString()],
  );
  return html`<div class="audit">
    <${Filters} query=${query} />
    <div class="buttons"><${SaveCsv} path="audit" query=${filter} name="audit.csv" /></div>
    ${
      value === null
        ? html`<${Missing} failure=${failure} reload=${reload} />`
        : html`<${Rows} answer=${value} query=${query} />`
    }
  </div>`;
}

/** @param {{ currentTarget: HTMLFormElement }} event */
function onChange({ currentTarget }) {
  const given = [...new FormData(currentTarget)].map(([name, value]) => [name, String(value).trim()]);
  go(href("audit", "", new URLSearchParams(Object.fromEntries(given.filter(([, value]) => value !== "")))));
}

/** @param {SubmitEvent} event */
function onSubmit(event) {
  event.preventDefault();
}

/** @param {{ query: URLSearchParams }} props */
function Filters({ query }) {
  const value = (/** @type {string} */ name) => query.get(name) ?? "";
  return html`<form class="filters" aria-label=${t("tasks.filters")} onChange=${onChange} onSubmit=${onSubmit}>
    <label
      >${t("audit.user")} <input name="user" value=${value("user")} spellcheck=${false} autocapitalize="none"
    /></label>
    <label>
      ${t("audit.action")}
      <input name="action" value=${value("action")} placeholder=${t("audit.actionHint")} spellcheck=${false} />
    </label>
    <label>${t("audit.target")} <input name="target" value=${value("target")} spellcheck=${false} /></label>
    <label>${t("audit.since")} <input name="since" type="datetime-local" value=${value("since")} /></label>
    <label>${t("audit.until")} <input name="until" type="datetime-local" value=${value("until")} /></label>
    ${query.size > 0 && html`<a href=${href("audit")}>${t("tasks.clear")}</a>`}
  </form>`;
}

/** @param {{ answer: Answer, query: URLSearchParams }} props */
function Rows({ answer: { rows, next }, query }) {
  if (rows.length === 0) return html`<p class="empty">${t("audit.none")}</p>`;
  const heads = [
    t("audit.time"),
    t("audit.user"),
    t("audit.key"),
    t("audit.from"),
    t("audit.action"),
    t("audit.target"),
  ];
  return html`<div class="scroll panel" tabindex="0" role="region" aria-label=${t("nav.audit")}>
      <table>
        <thead>
          <tr>
            ${[...heads, t("audit.outcome"), t("audit.details")].map((name) => html`<th key=${name} scope="col">${name}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map((row) => html`<${OneRow} key=${row.id} row=${row} />`)}
        </tbody>
      </table>
    </div>
    ${next !== null && html`<a href=${href("audit", "", new URLSearchParams([...query].filter(([name]) => name !== "after").concat([["after", next]])))}>${t("audit.older")}</a>`}`;
}

/** @param {{ row: Row }} props */
function OneRow({ row: { at, user, key, address, way, action, target, outcome, details } }) {
  return html`<tr>
    <td class="when">${moment(at)}</td>
    <td>${user ?? "–"}</td>
    <td>${key ?? "–"}</td>
    <td>${address ?? way}</td>
    <td><code>${action}</code></td>
    <td>${target ?? "–"}</td>
    <td><span class="badge ${outcome === "ok" ? "" : "bad"}">${outcome}</span></td>
    <td>${details}</td>
  </tr>`;
}
