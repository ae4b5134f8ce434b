/** The playground: asks a model something, shows how the answer comes, and how a program would ask the same. */
import { html } from "htm/preact";
import { get } from "../core/api.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { Code } from "./code.js";
import { Conversation } from "./conversation.js";
import { DryRun } from "./dry-run.js";
import { Input } from "./input.js";
import { canGenerate } from "./request.js";
import { Settings } from "./settings.js";

/** @typedef {import("../../../http/schemas/models.ts").ServedModelsAnswer["models"][number]} Model */

export function PlaygroundPage() {
  const { value, failure, reload } = useLoaded(load, []);
  if (value === null) return html`<${Missing} failure=${failure} reload=${reload} />`;
  return html`<div class="playground">
    <div class="panels talk">
      <${Conversation} />
      <${Input} models=${value} />
      <${DryRun} />
    </div>
    <div class="panels">
      <${Settings} models=${value} />
      <${Code} models=${value} />
    </div>
  </div>`;
}

/** @returns {Promise<Model[]>} */
async function load() {
  const { models } = /** @type {{ models: Model[] }} */ (await get("models"));
  return models.filter(canGenerate);
}
