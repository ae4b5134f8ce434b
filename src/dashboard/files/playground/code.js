/** The same request for a terminal and for programs. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { API } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Copy } from "../parts/copy.js";
import { curlOf, openaiOf, requestsOf } from "./snippets.js";
import { body, sent } from "./state.js";

const FORMS = /** @type {const} */ ([
  ["curl", "play.curl"],
  ["python", "play.python"],
  ["openai", "play.openai"],
]);

/** @param {{ models: readonly import("./page.js").Model[] }} props */
export function Code({ models }) {
  const [form, setForm] = useState(/** @type {typeof FORMS[number][0]} */ ("curl"));
  const base = API.href.replace(/\/api\/v1\/$/, "");
  const asked = sent.value ?? body();
  const text = {
    curl: () => curlOf(base, asked),
    python: () => requestsOf(base, asked),
    openai: () => openaiOf(base, asked, models[0]?.name),
  }[form]();
  return html`<section class="panel code" aria-labelledby="code">
    <div class="panel-head">
      <h3 id="code">${t("play.code")}</h3>
      <${Copy} text=${text} label=${t("play.code")} />
    </div>
    <div class="tabs" role="group" aria-labelledby="code">
      ${FORMS.map(
        ([one, word]) =>
          html`<button type="button" key=${one} aria-pressed=${form === one} onClick=${() => setForm(one)}>
            ${t(word)}
          </button>`,
      )}
    </div>
    <pre tabindex="0" role="region" aria-labelledby="code">${text}</pre>
    <p class="note">${t(sent.value === null ? "play.codeNow" : "play.codeOf")}. ${t("play.keyNote")}</p>
  </section>`;
}
