/** What was asked. The server tells it to those who may see it. */
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { t } from "../core/i18n.js";
import { LongText } from "../parts/long-text.js";
import { grown } from "../parts/blocks.js";

/** @param {{ task: import("./types.js").Task }} props */
export function Request({ task: { request } }) {
  const text = request === undefined ? null : textOf(request);
  const blocks = useMemo(() => (text === null ? [] : grown([], text)), [text]);
  if (text === null) return null;
  return html`<section class="panel" aria-labelledby="request">
    <h3 id="request">${t("task.request")}</h3>
    <${LongText} blocks=${blocks} label=${t("task.request")} />
  </section>`;
}

/** @param {NonNullable<import("./types.js").Task["request"]>} asked */
function textOf({ text, messages, input }) {
  if (messages !== undefined) return messages.map(({ role, content }) => `${role}:\n${content}`).join("\n\n");
  // An input of numbers is one of tokens.
  return text ?? input?.map((one) => (typeof one === "string" ? one : one.join(" "))).join("\n\n") ?? null;
}
