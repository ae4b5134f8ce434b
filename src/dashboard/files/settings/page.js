/** The configuration, for admins: what may change while the server runs, where each value comes from, and what needs a restart. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { call, get, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { Notice } from "../parts/notice.js";
import { Add } from "./add.js";
import { Fixed } from "./fixed.js";
import { changeableIn, kindOf, patchOf, valueOf } from "./keys.js";
import { Sections } from "./sections.js";

/** @typedef {import("./keys.js").Answer} Answer */
/** @typedef {import("./keys.js").Setting} Setting */
/** @typedef {{ kind: "good" | "bad", text: string }} Said */

export function SettingsPage() {
  const { value, failure, reload } = useLoaded(() => /** @type {Promise<Answer>} */ (get("config")), []);
  if (value === null) return html`<${Missing} failure=${failure} reload=${reload} />`;
  return html`<${Form} first=${value} />`;
}

/** @param {{ first: Answer }} props */
function Form({ first }) {
  const [answer, setAnswer] = useState(first);
  const [edits, setEdits] = useState(/** @type {Record<string, string>} */ ({}));
  const [added, setAdded] = useState(/** @type {readonly (readonly string[])[]} */ ([]));
  const [said, setSaid] = useState(/** @type {Said | null} */ (null));
  const settings = changeableIn(answer, added);
  const change = async (/** @type {(readonly [Setting, unknown])[]} */ changes) => {
    try {
      setAnswer(await call("PATCH", "config", { body: patchOf(changes.map(([{ path }, value]) => [path, value])) }));
      const saved = new Set(changes.map(([{ key }]) => key));
      setEdits((before) => Object.fromEntries(Object.entries(before).filter(([key]) => !saved.has(key))));
      setSaid({ kind: "good", text: t("settings.saved") });
    } catch (error) {
      setSaid({ kind: "bad", text: sentenceOf(error) });
    }
  };
  const save = () => {
    const edited = settings.filter(({ key }) => Object.hasOwn(edits, key));
    return change(edited.map((one) => [one, valueOf(kindOf(one), edits[one.key] ?? "")]));
  };
  const edit = (/** @type {string} */ key, /** @type {string} */ text) =>
    setEdits((before) => ({ ...before, [key]: text }));
  const reset = (/** @type {Setting} */ setting) => change([[setting, null]]);
  return html`<div class="panels settings-page">
    <${Sections} answer=${answer} settings=${settings} edits=${edits} onEdit=${edit} onReset=${reset} />
    <${Add} onAdd=${(/** @type {readonly (readonly string[])[]} */ paths) => setAdded([...added, ...paths])} />
    <${Fixed} answer=${answer} />
    <div class="save-bar">
      ${said !== null && html`<${Notice} ...${said} />`}
      <${SaveBar} count=${Object.keys(edits).length} onSave=${save} onUndo=${() => setEdits({})} />
    </div>
  </div>`;
}

/** @param {{ count: number, onSave: () => void, onUndo: () => void }} props */
function SaveBar({ count, onSave, onUndo }) {
  if (count === 0) return null;
  return html`<div class="panel buttons">
    <span>${t("settings.changes", { n: count })}</span>
    <button onClick=${onUndo}>${t("settings.undo")}</button>
    <button class="primary" onClick=${onSave}>${t("settings.save")}</button>
  </div>`;
}
