/** The settings that may change, by what they are about. */
import { html } from "htm/preact";
import { tCode } from "../core/i18n.js";
import { STRATEGIES } from "../playground/request.js";
import { Field } from "./field.js";
import { sectionOf, valueAt } from "./keys.js";

/** @typedef {import("./keys.js").Answer} Answer */
/** @typedef {import("./keys.js").Setting} Setting */

/**
 * @param {{ answer: Answer, settings: readonly Setting[], edits: Record<string, string>,
 *   onEdit: (key: string, text: string) => void, onReset: (setting: Setting) => void }} props
 */
export function Sections({ answer, settings, edits, onEdit, onReset }) {
  const strategies = strategiesIn(answer);
  return [...byTitle(settings)].map(
    ([title, found]) =>
      html`<section class="panel" key=${title} aria-label=${title}>
        <h2>${title}</h2>
        ${found.map(
          (setting) =>
            html`<${Field}
              key=${setting.key}
              setting=${setting}
              edit=${edits[setting.key]}
              change=${answer.runtime.find(({ key }) => key === setting.key)}
              strategies=${strategies}
              onEdit=${onEdit}
              onReset=${onReset}
            />`,
        )}
      </section>`,
  );
}

/** The section that is changed most comes first. */
const ORDER = ["placement", "mappings", "callers", "user", "team", "key", "models", "limits", "log"];

/** @param {Setting} setting */
function rankOf({ path }) {
  const rank = ORDER.indexOf(sectionOf(path).code);
  return rank === -1 ? ORDER.length : rank;
}

/** @param {readonly Setting[]} settings */
function byTitle(settings) {
  /** @type {Map<string, Setting[]>} */
  const sections = new Map();
  for (const setting of settings.toSorted((one, other) => rankOf(one) - rankOf(other))) {
    const { code, name } = sectionOf(setting.path);
    const title = name === "" ? tCode("section", code) : `${tCode("limitsOf", code)} ${name}`;
    sections.set(title, [...(sections.get(title) ?? []), setting]);
  }
  return sections;
}

/** Those that a request may name. @param {Answer} answer @returns {readonly string[]} */
function strategiesIn({ config }) {
  const found = valueAt(config, ["gpu", "multi_gpu", "strategies"]);
  return Array.isArray(found) ? found.map(String) : STRATEGIES;
}
