/** Has a model fetched. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { post, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";

/** @param {{ tell: (said: import("./page.js").Said | null) => void }} props */
export function Pull({ tell }) {
  const [isBusy, setBusy] = useState(false);
  /** @param {SubmitEvent} event */
  const onSubmit = async (event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const given = new FormData(form);
    const [source, name] = ["source", "name"].map((field) => String(given.get(field) ?? "").trim());
    setBusy(true);
    try {
      const asked = { source, ...(name !== "" && { name }) };
      const model = /** @type {import("./page.js").Model} */ (await post("models", asked));
      form.reset();
      tell({ kind: "good", text: t("models.pulling", { model: model.name }) });
    } catch (error) {
      tell({ kind: "bad", text: sentenceOf(error) });
    }
    setBusy(false);
  };
  return html`<form class="panel pull" aria-labelledby="pull" onSubmit=${onSubmit}>
    <h3 id="pull">${t("models.pull")}</h3>
    <label>
      ${t("models.pullSource")}
      <input name="source" required placeholder=${t("models.pullHint")} spellcheck=${false} autocapitalize="none" />
    </label>
    <label>
      ${t("models.pullName")}
      <input name="name" placeholder=${t("models.pullNameHint")} spellcheck=${false} autocapitalize="none" />
    </label>
    <button type="submit" disabled=${isBusy}>${t("models.pullDo")}</button>
  </form>`;
}
