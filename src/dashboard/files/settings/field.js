/** One setting that may change: its value, where that comes from, and who set it. */
import { html } from "htm/preact";
import { moment } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { STRATEGIES } from "../playground/request.js";
import { kindOf, sectionOf, textOf } from "./keys.js";

/** As the configuration has them. */
export const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];
export const LOGGED = ["all", "errors", "none"];

/** @typedef {{ currentTarget: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement }} FieldEvent */
/** @typedef {import("./keys.js").Setting} Setting */
/** @typedef {import("./keys.js").Answer["runtime"][number]} Change */

/**
 * @param {{ setting: Setting, edit: string | undefined, change: Change | undefined, strategies: readonly string[],
 *   onEdit: (key: string, text: string) => void, onReset: (setting: Setting) => void }} props
 */
export function Field({ setting, edit, change, strategies, onEdit, onReset }) {
  const { path, key, value, source } = setting;
  const id = `setting-${key}`;
  return html`<div class="setting" data-edited=${edit !== undefined}>
    <label id="${id}-name" for=${id}> ${tCode("setting", path.at(-1) ?? key)} <code class="muted">${key}</code> </label>
    <${Editor}
      id=${id}
      kind=${kindOf(setting)}
      text=${edit ?? textOf(value)}
      strategies=${strategies}
      empty=${sectionOf(path).code === "user" ? t("settings.ofAll") : t("settings.none")}
      onText=${(/** @type {string} */ text) => onEdit(key, text)}
    />
    <p class="note">
      <span class="badge ${source === "runtime" ? "busy" : ""}">${tCode("source", source)}</span>
      ${change !== undefined && html`<${SetBy} change=${change} onReset=${() => onReset(setting)} />`}
    </p>
  </div>`;
}

/** @param {{ change: Change, onReset: () => void }} props */
function SetBy({ change: { by, at, instead_of }, onReset }) {
  const before = textOf(instead_of) || t("settings.none");
  return html` ${t("settings.setBy", { user: by, time: moment(at), before })}
    <button type="button" class="quiet" onClick=${onReset}>${t("settings.reset")}</button>`;
}

/**
 * @param {{ id: string, kind: import("./keys.js").Kind, text: string, strategies: readonly string[], empty: string,
 *   onText: (text: string) => void }} props empty: what holds where nothing stands
 */
function Editor({ id, kind, text, strategies, empty, onText }) {
  const onChange = (/** @type {FieldEvent} */ { currentTarget }) => onText(currentTarget.value);
  if (kind === "strategies") return html`<${Several} id=${id} text=${text} onText=${onText} />`;
  if (kind === "json") {
    return html`<textarea id=${id} rows="4" class="mono" value=${text} onInput=${onChange}></textarea>`;
  }
  if (kind === "plain") {
    return html`<input id=${id} value=${text} placeholder=${empty} onInput=${onChange} />`;
  }
  const options = { strategy: strategies, level: LEVELS, logged: LOGGED, switch: ["true", "false"] }[kind];
  const name = (/** @type {string} */ value) =>
    kind === "switch" ? tCode("switch", value) : kind === "logged" ? tCode("logged", value) : value;
  return html`<select id=${id} value=${text} onChange=${onChange}>
    ${options.map((value) => html`<option key=${value} value=${value}>${name(value)}</option>`)}
  </select>`;
}

/** Some of the strategies. @param {{ id: string, text: string, onText: (text: string) => void }} props text: JSON, or their names with commas */
function Several({ id, text, onText }) {
  /** @type {readonly string[]} */
  const chosen = text.match(/\w+/g) ?? [];
  const toggle = (/** @type {string} */ name) =>
    onText(STRATEGIES.filter((one) => (one === name) !== chosen.includes(one)).join(","));
  return html`<div class="several" id=${id} role="group" aria-labelledby="${id}-name">
    ${STRATEGIES.map(
      (name) =>
        html`<label key=${name}>
          <input type="checkbox" checked=${chosen.includes(name)} onChange=${() => toggle(name)} />
          <span>${name}</span>
        </label>`,
    )}
  </div>`;
}
