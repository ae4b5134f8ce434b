/** One operation: what it takes, what it answers, and how a terminal asks it. */
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { API } from "../core/api.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { Copy } from "../parts/copy.js";
import { curlOf, exampleIn, exampleText, fieldsOf, limitsOf, typeOf } from "./document.js";

/** @typedef {import("./document.js").Document} Document */

/** @param {{ document: Document, operation: import("./document.js").Operation, sought: string }} props */
export function Operation({ document, operation, sought }) {
  const {
    id,
    method,
    path,
    summary = "",
    description = "",
    parameters = [],
    requestBody,
    responses,
    isOpen,
  } = operation;
  return html`<article class="api-operation" aria-labelledby="operation">
    <p class="api-back"><a href=${href("api", "", sought === "" ? {} : { q: sought })}>${t("api.back")}</a></p>
    <h2 id="operation">
      <b class="api-method ${method}">${method}</b> <a class="mono" href=${href("api", id)}>${path}</a>
    </h2>
    <div lang="en">
      <h3>${summary}</h3>
      <p><${Words} text=${description} /></p>
    </div>
    ${isOpen && html`<p class="note">${t("api.isOpen")}</p>`}
    <${Curl} document=${document} operation=${operation} />
    ${parameters.length > 0 && html`<${Parameters} document=${document} parameters=${parameters} />`}
    ${requestBody && html`<${Media} title=${t("api.body")} document=${document} content=${requestBody.content} />`}
    <${Answers} document=${document} responses=${responses} />
  </article>`;
}

/** @param {{ document: Document, operation: import("./document.js").Operation }} props */
function Curl({ document, operation }) {
  const base = API.href.replace(/\/api\/v1\/$/, "");
  const curl = useMemo(() => curlOf(document, operation, base), [document, operation]);
  return html`<section class="panel">
    <div class="panel-head">
      <h3 id="api-curl">${t("api.curl")}</h3>
      <${Copy} text=${curl} label=${t("api.curl")} />
    </div>
    <pre tabindex="0" role="region" aria-labelledby="api-curl">${curl}</pre>
  </section>`;
}

/** @param {{ document: Document, responses: import("./document.js").Operation["responses"] }} props */
function Answers({ document, responses }) {
  return html`<section class="panel">
    <h3>${t("api.answers")}</h3>
    ${Object.entries(responses).map(
      ([status, answer]) =>
        html`<details key=${status} open=${status.startsWith("2")}>
          <summary><b class="mono">${status}</b> <span lang="en">${answer.description}</span></summary>
          ${answer.content && html`<${Media} document=${document} content=${answer.content} />`}
        </details>`,
    )}
  </section>`;
}

/** @param {{ document: Document, parameters: readonly import("./document.js").Parameter[] }} props */
function Parameters({ document, parameters }) {
  const fields = parameters.map(({ name, in: where, required = false, description = "", schema }) => ({
    name,
    where,
    type: typeOf(document, schema),
    isRequired: required,
    description,
    limits: limitsOf(schema),
    standard: schema.default,
  }));
  return html`<section class="panel">
    <h3>${t("api.parameters")}</h3>
    <${Fields} fields=${fields} />
  </section>`;
}

/** A body or an answer in each of its formats. @param {{ title?: string, document: Document, content: import("./document.js").Content }} props */
function Media({ title, document, content }) {
  const parts = Object.entries(content).map(([type, media]) => {
    const example = exampleIn(document, media);
    const fields = media.schema ? fieldsOf(document, media.schema) : [];
    const { description } = media.schema ?? {};
    return html`<p class="note">
        <span class="mono">${type}</span
        >${media.schema && html` <span class="mono">${typeOf(document, media.schema)}</span>`}
      </p>
      ${fields.length === 0 && description && html`<p lang="en"><${Words} text=${description} /></p>`}
      ${fields.length > 0 && html`<${Fields} fields=${fields} />`}
      ${
        example !== undefined &&
        html`<pre tabindex="0" role="region" aria-label=${t("api.example")}>${exampleText(example)}</pre>`
      }`;
  });
  return title === undefined
    ? parts
    : html`<section class="panel">
        <h3>${title}</h3>
        ${parts}
      </section>`;
}

/** @param {{ fields: readonly (import("./document.js").Field & { where?: string })[] }} props */
function Fields({ fields }) {
  return html`<dl class="api-fields">
    ${fields.map(
      ({ name, where, type, isRequired, description, limits, standard }) =>
        html`<div key=${`${where}${name}`}>
          <dt>
            <code>${name}</code> <span class="mono note">${type}${limits && ` ${limits}`}</span>
            ${where && html`<span class="note"> ${where}</span>`}
            ${isRequired && html`<span class="api-required"> ${t("api.required")}</span>`}
            ${standard !== undefined && html`<span class="note"> ${t("api.default")} <code>${JSON.stringify(standard)}</code></span>`}
          </dt>
          <dd lang="en"><${Words} text=${description} /></dd>
        </div>`,
    )}
  </dl>`;
}

/** A text in which code stands between backticks. @param {{ text: string }} props */
function Words({ text }) {
  return text.split("`").map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part));
}
