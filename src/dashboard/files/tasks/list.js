/** The list of tasks: by status, filtered, page by page. */
import { html } from "htm/preact";
import { get } from "../core/api.js";
import { number } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { href } from "../core/router.js";
import { maySubmit } from "../core/session.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { CancelListed } from "./cancel-listed.js";
import { FilterBar } from "./filter-bar.js";
import { addressOf, filtersOf, narrowedBy, queryOf, STATUSES } from "./filters.js";
import { Find } from "./find.js";
import { useTaskNews } from "./news.js";
import { TaskTable } from "./table.js";

/** Tasks to a page. Each comes with its whole text. */
const PAGE = 50;
/** Milliseconds between two looks at the list, and at the counts: both cost the server something. */
const LIST_PAUSE = 1500;
const COUNTS_PAUSE = 5000;

/** @typedef {import("./filters.js").Filters} Filters */

/** @param {{ query: URLSearchParams }} props */
export function TaskList({ query }) {
  const filters = filtersOf(query);
  const isNewest = filters.after === "";
  const list = useLoaded(() => pageOf(filters), [addressOf(filters, { after: filters.after })]);
  const counts = useLoaded(() => countsOf(filters), [addressOf(filters, { status: "" })]);
  useTaskNews(isNewest, LIST_PAUSE, list.reload);
  // Of a list that is narrowed, the server has to count anew each time.
  useTaskNews(narrowedBy(filters).length === 0, COUNTS_PAUSE, counts.reload);
  const reload = () => {
    list.reload();
    counts.reload();
  };
  return html`
    <div class="tasks-head">
      <${StatusTabs} filters=${filters} counts=${counts.value} />
      <${Find} />
    </div>
    <${FilterBar} key=${addressOf(filters, { status: "" })} filters=${filters} />
    ${maySubmit.value && html`<${CancelListed} filters=${filters} counts=${counts.value} onDone=${reload} />`}
    ${
      list.value === null
        ? html`<${Missing} failure=${list.failure} reload=${list.reload} />`
        : html`<${Page} page=${list.value} filters=${filters} />`
    }
  `;
}

/** @param {Filters} filters @returns {Promise<import("./types.js").TaskPage>} */
function pageOf(filters) {
  return get(`tasks?${queryOf(filters, PAGE)}`);
}

/** @param {Filters} filters @returns {Promise<Record<string, number>>} by status; `all` is their sum */
async function countsOf(filters) {
  const totals = await Promise.all(
    STATUSES.map(async (status) => {
      const query = queryOf({ ...filters, status, after: "" }, 1);
      const { total } = /** @type {import("./types.js").TaskPage} */ (await get(`tasks?${query}`));
      return /** @type {const} */ ([status, total]);
    }),
  );
  return { all: totals.reduce((sum, [, total]) => sum + total, 0), ...Object.fromEntries(totals) };
}

/** @param {{ filters: Filters, counts: Record<string, number> | null }} props */
function StatusTabs({ filters, counts }) {
  return html`<nav class="tabs" aria-label=${t("tasks.byStatus")}>
    ${["", ...STATUSES].map((status) => {
      const isOn = status === filters.status;
      const name = status === "" ? t("tasks.all") : tCode("status", status);
      const count = counts?.[status === "" ? "all" : status];
      return html`<a
        href=${href("tasks", "", new URLSearchParams(addressOf(filters, { status })))}
        aria-current=${isOn ? "true" : undefined}
        data-status=${status}
        >${name} <span class="count">${count === undefined ? "" : number(count)}</span></a
      >`;
    })}
  </nav>`;
}

/** @param {{ page: import("./types.js").TaskPage, filters: Filters }} props */
function Page({ page, filters }) {
  const tasks = Object.values(page.tasks);
  if (tasks.length === 0) return html`<${Nothing} filters=${filters} />`;
  return html`<${TaskTable} tasks=${tasks} /><${Pages} page=${page} filters=${filters} shown=${tasks.length} />`;
}

/** @param {{ filters: Filters }} props */
function Nothing({ filters }) {
  if (narrowedBy(filters).length > 0) {
    const cleared = new URLSearchParams({ ...(filters.status !== "" && { status: filters.status }) });
    return html`<p class="empty">
      ${t("tasks.noneMatch")} <a href=${href("tasks", "", cleared)}>${t("tasks.clear")}</a>
    </p>`;
  }
  if (filters.status !== "") return html`<p class="empty">${t("tasks.noneOfStatus")}</p>`;
  if (!maySubmit.value) return html`<p class="empty">${t("tasks.noneToSee")}</p>`;
  return html`<p class="empty">${t("tasks.none")} <a href=${href("playground")}>${t("tasks.toPlayground")}</a></p>`;
}

/** @param {{ page: import("./types.js").TaskPage, filters: Filters, shown: number }} props */
function Pages({ page, filters, shown }) {
  const isNewest = filters.after === "";
  const to = (/** @type {string} */ after) => href("tasks", "", new URLSearchParams(addressOf(filters, { after })));
  return html`<nav class="pages" aria-label=${t("tasks.pages")}>
    <span class="note">${t("tasks.shown", { n: shown, total: page.total })}</span>
    ${!isNewest && html`<a href=${to("")}>${t("tasks.newest")}</a>`}
    ${page.next !== null && html`<a href=${to(page.next)} rel="next">${t("tasks.older")}</a>`}
    ${!isNewest && html`<span class="note">${t("tasks.paused")}</span>`}
  </nav>`;
}
