/** The models: where each is, what it takes; having them loaded, unloaded, fetched and removed. */
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "../core/api.js";
import { t } from "../core/i18n.js";
import { isAdmin } from "../core/session.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { Notice } from "../parts/notice.js";
import { ModelCard } from "./model.js";
import { Pull } from "./pull.js";

/** Milliseconds between two looks while something moves, and else. */
const BUSY_PAUSE = 1000;
const PAUSE = 3000;

/** @typedef {import("../../../http/schemas/models.ts").ServedModelsAnswer["models"][number]} Model */
/** @typedef {{ kind: "good" | "bad", text: string }} Said */

export function ModelsPage() {
  const { value: models, failure, reload } = useLoaded(load, []);
  const [said, setSaid] = useState(/** @type {Said | null} */ (null));
  const isMoving = models?.some(moves) ?? false;
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), isMoving ? BUSY_PAUSE : PAUSE);
    return () => clearInterval(timer);
  }, [isMoving, reload]);
  const tell = (/** @type {Said | null} */ news) => {
    setSaid(news);
    reload();
  };
  if (models === null) return html`<${Missing} failure=${failure} reload=${reload} />`;
  return html`<div class="panels models">
    ${isAdmin.value && html`<${Pull} tell=${tell} />`} ${said !== null && html`<${Notice} ...${said} />`}
    ${models.length === 0 && html`<p class="empty">${t(isAdmin.value ? "models.none" : "models.noneToSee")}</p>`}
    ${models.map((model) => html`<${ModelCard} key=${model.name} model=${model} tell=${tell} />`)}
  </div>`;
}

/** @returns {Promise<Model[]>} */
async function load() {
  const { models } = /** @type {{ models: Model[] }} */ (await get("models"));
  return models;
}

/** @param {Model} model */
function moves({ fetch, instances }) {
  return fetch !== null || instances.some(({ state }) => state === "loading" || state === "unloading");
}
