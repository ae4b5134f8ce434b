/** How the playground asks: model, sampling, placement. Empty fields are left to the server. */
import { html } from "htm/preact";
import { t, tCode } from "../core/i18n.js";
import { gpus } from "../core/store.js";
import { PRIORITIES, schemaFault, STRATEGIES } from "./request.js";
import { change, form } from "./state.js";

/** @typedef {import("./request.js").Form} Form */
/** @typedef {import("../core/i18n.js").Word} Word */
/** @typedef {{ currentTarget: HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement }} FieldEvent */

/** @type {[keyof Form, Word, string][]} with the default of the server */
const NUMBERS = [
  ["max_length", "play.maxLength", "128"],
  ["temperature", "play.temperature", "0.7"],
  ["top_p", "play.topP", "0.95"],
  ["top_k", "play.topK", "40"],
  ["min_p", "play.minP", "0.05"],
];

const SCHEMA_HINT = '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}';

/** @param {{ models: readonly import("./page.js").Model[] }} props */
export function Settings({ models }) {
  const names = models.map(({ name }) => [name, name]);
  return html`<section class="panel settings">
    <${Choice} name="model" label=${t("play.model")} empty=${t("play.anyModel")} options=${names} />
    <${SamplingFields} /> <${FormFields} /> <${PlacementFields} />
  </section>`;
}

function SamplingFields() {
  const raw = [
    ["true", t("play.rawTrue")],
    ["false", t("play.rawFalse")],
  ];
  return html`<fieldset>
    <legend>${t("play.sampling")}</legend>
    ${NUMBERS.map(([name, label, hint]) => html`<${Field} key=${name} name=${name} label=${t(label)} hint=${hint} />`)}
    <${Field} name="seed" label=${t("play.seed")} hint=${t("play.drawn")} />
    <label class="wide">
      ${t("play.stop")}
      <textarea
        rows="2"
        placeholder=${t("play.stopHint")}
        value=${form.value.stop}
        onInput=${onField("stop")}
      ></textarea>
    </label>
    ${
      form.value.kind === "text" &&
      html`<${Choice} name="raw" label=${t("play.raw")} empty=${t("play.rawDefault")} options=${raw} />`
    }
  </fieldset>`;
}

/** The form that the answer has to have. */
function FormFields() {
  const forms = [
    ["json_object", t("play.jsonObject")],
    ["json_schema", t("play.jsonSchema")],
  ];
  return html`<fieldset>
    <legend>${t("play.form")}</legend>
    <${Choice} name="form" label=${t("play.answerIs")} empty=${t("play.anyText")} options=${forms} />
    <${Field} name="logprobs" label=${t("play.logprobs")} hint=${t("play.none")} />
    ${form.value.form === "json_schema" && html`<${SchemaField} />`}
  </fieldset>`;
}

/** The schema, and what is wrong with it. */
function SchemaField() {
  const fault = schemaFault(form.value);
  return html`<label class="wide">
      ${t("play.schema")}
      <textarea
        name="schema"
        rows="6"
        spellcheck=${false}
        placeholder=${SCHEMA_HINT}
        aria-invalid=${fault !== null}
        aria-describedby="schema-fault"
        value=${form.value.schema}
        onInput=${onField("schema")}
      ></textarea>
    </label>
    <p id="schema-fault" class="note wide" aria-live="polite">
      ${fault !== null && (fault.why === null ? t("play.schemaEmpty") : t("play.schemaBroken", { why: fault.why }))}
    </p>`;
}

function PlacementFields() {
  const ids = (gpus.value ?? []).map(({ id, name }) => [String(id), `${id} · ${name}`]);
  const strategies = STRATEGIES.map((name) => [name, name]);
  const others = PRIORITIES.filter((name) => name !== "normal").map((name) => [name, tCode("priority", name)]);
  const normal = tCode("priority", "normal");
  return html`<fieldset>
    <legend>${t("play.placement")}</legend>
    <${Choice} name="strategy" label=${t("play.strategy")} empty=${t("play.defaultStrategy")} options=${strategies} />
    <${Choice} name="gpu" label=${t("play.gpu")} empty=${t("play.anyGpu")} options=${ids} />
    <${Choice} name="priority" label=${t("play.priority")} empty=${normal} options=${others} />
  </fieldset>`;
}

/** @param {keyof Form} name */
function onField(name) {
  return (/** @type {FieldEvent} */ { currentTarget }) => change({ [name]: currentTarget.value });
}

/** @param {{ name: keyof Form, label: string, hint: string }} props */
function Field({ name, label, hint }) {
  return html`<label>
    ${label}
    <input
      name=${name}
      inputmode="decimal"
      autocomplete="off"
      placeholder=${hint}
      value=${form.value[name]}
      onInput=${onField(name)}
    />
  </label>`;
}

/** @param {{ name: keyof Form, label: string, empty: string, options: readonly (readonly string[])[] }} props */
function Choice({ name, label, empty, options }) {
  return html`<label>
    ${label}
    <select name=${name} value=${form.value[name]} onChange=${onField(name)}>
      <option value="">${empty}</option>
      ${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
    </select>
  </label>`;
}
