/** Settings for a name that has none yet: limits of a user, the GPUs of a type of task. */
import { html } from "htm/preact";
import { t } from "../core/i18n.js";

const BUDGETS = ["tokens_per_day", "tokens_per_month", "gpu_seconds_per_day", "gpu_seconds_per_month"];
const HOLDINGS = [
  "max_stored_bytes",
  "max_files",
  "max_uploaded_bytes",
  "max_webhooks",
  "max_connections",
  "max_open_requests",
];
const RATES = ["weight", "max_queued", "max_running", "requests_per_minute", "tokens_per_minute"];
const LIMITS = [...RATES, ...HOLDINGS, ...BUDGETS];

/** The keys below a name, and where it stands. @type {Readonly<Record<string, readonly (readonly string[])[]>>} */
const PLACES = {
  user: [["callers", "users"], LIMITS],
  team: [
    ["callers", "teams"],
    [...RATES.slice(1), ...BUDGETS],
  ],
  key: [["callers", "keys"], BUDGETS],
};

/** @param {string} of @param {string} name @returns {readonly (readonly string[])[]} */
function pathsOf(of, name) {
  const [place = [], keys = []] = PLACES[of] ?? [];
  if (place.length === 0) return [["gpu", "multi_gpu", "task_specific_mappings", name]];
  return keys.map((key) => [...place, name, key]);
}

/** @param {{ onAdd: (paths: readonly (readonly string[])[]) => void }} props */
export function Add({ onAdd }) {
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const given = new FormData(form);
    const name = String(given.get("name") ?? "").trim();
    onAdd(pathsOf(String(given.get("of")), name));
    form.reset();
  };
  return html`<form class="panel add" onSubmit=${onSubmit}>
    <label>
      ${t("settings.addOf")}
      <select name="of">
        <option value="user">${t("settings.addUser")}</option>
        <option value="team">${t("settings.addTeam")}</option>
        <option value="key">${t("settings.addKey")}</option>
        <option value="type">${t("settings.addType")}</option>
      </select>
    </label>
    <label>
      ${t("settings.addName")}
      <input name="name" required spellcheck=${false} autocapitalize="none" />
    </label>
    <button type="submit">${t("settings.add")}</button>
  </form>`;
}
