/** The fields that filter the list. They stand in the address, so that a filtered list can be kept and sent as a link. */
import { html } from "htm/preact";
import { get } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go, href } from "../core/router.js";
import { role } from "../core/session.js";
import { gpus } from "../core/store.js";
import { useLoaded } from "../parts/loaded.js";
import { addressOf, narrowedBy } from "./filters.js";

/** @typedef {import("./filters.js").Filters} Filters */
/** @typedef {{ currentTarget: HTMLFormElement }} FormEvent */

/** @param {{ filters: Filters }} props */
export function FilterBar({ filters }) {
  const onChange = (/** @type {FormEvent} */ { currentTarget }) => {
    /** @type {Record<string, string>} */
    const changes = {};
    for (const [name, value] of new FormData(currentTarget)) changes[name] = String(value).trim();
    go(href("tasks", "", new URLSearchParams(addressOf(filters, changes))));
  };
  const cleared = new URLSearchParams({ ...(filters.status !== "" && { status: filters.status }) });
  return html`<form
    class="filters"
    aria-label=${t("tasks.filters")}
    onChange=${onChange}
    onSubmit=${(/** @type {SubmitEvent} */ event) => event.preventDefault()}
  >
    ${role.value !== "user" && html`<${UserField} value=${filters.user} />`}
    <${GpuField} value=${filters.gpu_id} />
    <label>${t("tasks.type")} <input name="task_type" value=${filters.task_type} spellcheck=${false} /></label>
    <label>${t("tasks.model")} <input name="model" value=${filters.model} spellcheck=${false} /></label>
    <label>
      ${t("tasks.batch")}
      <input name="batch_id" value=${filters.batch_id} placeholder=${t("tasks.batchHint")} spellcheck=${false} />
    </label>
    <label>${t("tasks.since")} <input name="since" type="datetime-local" value=${filters.since} /></label>
    <label>${t("tasks.until")} <input name="until" type="datetime-local" value=${filters.until} /></label>
    ${narrowedBy(filters).length > 0 && html`<a href=${href("tasks", "", cleared)}>${t("tasks.clear")}</a>`}
  </form>`;
}

/** @param {{ value: string }} props */
function UserField({ value }) {
  const { value: names } = useLoaded(async () => {
    const { callers } = /** @type {{ callers: { user: string }[] }} */ (await get("callers"));
    return callers.map(({ user }) => user);
  }, []);
  return html`<label>
    ${t("tasks.user")}
    <input
      name="user"
      value=${value}
      list="tasks-users"
      placeholder=${t("tasks.anybody")}
      spellcheck=${false}
      autocapitalize="none"
    />
    <datalist id="tasks-users">${names?.map((name) => html`<option value=${name} />`)}</datalist>
  </label>`;
}

/** @param {{ value: string }} props */
function GpuField({ value }) {
  const ids = (gpus.value ?? []).map(({ id }) => String(id));
  // One that is gone may still have tasks.
  const offered = value === "" || ids.includes(value) ? ids : [...ids, value];
  return html`<label>
    ${t("tasks.gpu")}
    <select name="gpu_id" value=${value}>
      <option value="">${t("tasks.anyGpu")}</option>
      ${offered.map((id) => html`<option value=${id}>${t("tasks.gpuNumber", { id })}</option>`)}
    </select>
  </label>`;
}
