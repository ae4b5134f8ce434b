/** Buttons by which an operator changes a model. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { call, post, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { ask } from "../parts/dialog.js";
import { loadableOn, unloadableOn } from "./states.js";

/** @typedef {import("./page.js").Model} Model */

/** @param {{ model: Model, tell: (said: import("./page.js").Said | null) => void }} props */
export function Actions({ model, tell }) {
  const [isBusy, setBusy] = useState(false);
  const path = `models/${model.name.split("/").map(encodeURIComponent).join("/")}`;
  const doing = (/** @type {() => Promise<import("./page.js").Said | null>} */ act) => async () => {
    setBusy(true);
    tell(await act().catch((error) => ({ kind: "bad", text: sentenceOf(error) })));
    setBusy(false);
  };
  const load = doing(async () => {
    const given = await askWhere(loadableOn(model), { title: t("models.loadTitle", { model: model.name }), kind: "load" });
    if (given !== null) await post(`${pathOfOne(model)}/load`, given);
    return null;
  });
  const unload = doing(async () => {
    const title = t("models.unloadTitle", { model: model.name });
    const given = await askWhere(unloadableOn(model), { title, kind: "unload" });
    if (given !== null) await post(`${pathOfOne(model)}/unload`, given);
    return null;
  });
  const remove = doing(async () => {
    const [title, text] = [t("models.removeTitle", { model: model.name }), t("models.removeText")];
    if ((await ask({ title, text, yes: t("models.removeDo"), isDangerous: true })) === null) return null;
    await call("DELETE", path);
    return { kind: "good", text: t("models.removed", { model: model.name }) };
  });
  if (model.origin === "device") return null;
  return html`<span class="actions">
    ${loadableOn(model).length > 0 && html`<button disabled=${isBusy} onClick=${load}>${t("models.load")}</button>`}
    ${unloadableOn(model).length > 0 &&
    html`<button disabled=${isBusy} onClick=${unload}>${t("models.unload")}</button>`}
    ${model.origin === "pulled" && html`<button disabled=${isBusy} onClick=${remove}>${t("models.remove")}</button>`}
  </span>`;
}

/** @param {Model} model */
function pathOfOne({ name }) {
  // Here a slash in a name would be one of the path.
  return `models/${encodeURIComponent(name)}`;
}

/**
 * Asks on which GPUs.
 * @param {readonly number[]} gpus that are possible
 * @param {{ title: string, kind: "load" | "unload" }} question
 * @returns {Promise<{ gpu_ids?: number[] } | null>} null: nowhere
 */
async function askWhere(gpus, { title, kind }) {
  const isLoad = kind === "load";
  const given = await ask({
    title,
    text: t(isLoad ? "models.loadText" : "models.unloadText"),
    yes: t(isLoad ? "models.loadDo" : "models.unloadDo"),
    isDangerous: !isLoad,
    fields: html`<label>
      ${t("models.where")}
      <select name="gpu">
        <option value="">${t(isLoad ? "models.loadEverywhere" : "models.unloadEverywhere")}</option>
        ${gpus.map((id) => html`<option key=${id} value=${id}>${t("tasks.gpuNumber", { id: String(id) })}</option>`)}
      </select>
    </label>`,
  });
  if (given === null) return null;
  const gpu = String(given.get("gpu") ?? "");
  return gpu === "" ? {} : { gpu_ids: [Number(gpu)] };
}
