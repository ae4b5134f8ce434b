/** Settings for a name that has none yet: limits of a user, the GPUs of a type of task. */
import { html } from "htm/preact";
import { t } from "../core/i18n.js";

const LIMITS = ["weight", "max_queued", "max_running", "requests_per_minute", "tokens_per_minute"];

/** @param {{ onAdd: (paths: readonly (readonly string[])[]) => void }} props */
export function Add({ onAdd }) {
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const given = new FormData(form);
    const name = String(given.get("name") ?? "").trim();
    const isUser = given.get("of") === "user";
    const limits = LIMITS.map((limit) => ["callers", "users", name, limit]);
    onAdd(isUser ? limits : [["gpu", "multi_gpu", "task_specific_mappings", name]]);
    form.reset();
  };
  return html`<form class="panel add" onSubmit=${onSubmit}>
    <label>
      ${t("settings.addOf")}
      <select name="of">
        <option value="user">${t("settings.addUser")}</option>
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
