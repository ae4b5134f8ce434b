/** The request of a task. The server tells it to those who may see it. */
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { t } from "../core/i18n.js";
import { LongText } from "../parts/long-text.js";
import { grown } from "../parts/blocks.js";
import { demandsOf, textOf } from "./asked.js";

/** @param {{ task: import("./types.js").Task }} props */
export function Request({ task: { request } }) {
  const text = request === undefined ? null : textOf(request);
  const blocks = useMemo(() => (text === null ? [] : grown([], text)), [text]);
  const demands = useMemo(() => (request === undefined ? [] : demandsOf(request)), [request]);
  if (text === null) return null;
  return html`<section class="panel" aria-labelledby="request">
    <h3 id="request">${t("task.request")}</h3>
    <${LongText} blocks=${blocks} label=${t("task.request")} />
    ${demands.map(
      ([name, json]) =>
        html`<p class="note" key=${name}><code>${name}</code></p>
          <${LongText} key=${`${name} in JSON`} blocks=${grown([], json)} label=${name} />`,
    )}
  </section>`;
}
