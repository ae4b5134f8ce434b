/** The text that a task has generated. */
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { t } from "../core/i18n.js";
import { AnswerParts } from "../parts/answer-parts.js";
import { isCutJson } from "../parts/answer-words.js";
import { Copy } from "../parts/copy.js";
import { LongText } from "../parts/long-text.js";
import { Notice } from "../parts/notice.js";
import { grown } from "../parts/blocks.js";
import { hasEnded } from "./types.js";

/** @param {{ task: import("./types.js").Task, output: import("./output.js").Shown }} props */
export function Answer({ task, output }) {
  const { result } = task;
  const isOver = hasEnded(task);
  const whole = useMemo(() => (result === undefined ? [] : grown([], result.text)), [result?.text]);
  const thought = useMemo(
    () => (result?.reasoning === undefined ? [] : grown([], result.reasoning)),
    [result?.reasoning],
  );
  const text = isOver ? whole : output.text;
  const reasoning = isOver ? thought : output.reasoning;
  return html`<section class="panel" aria-labelledby="answer">
    <div class="panel-head">
      <h3 id="answer">${t("task.answer")}</h3>
      ${!isOver && html`<${Live} output=${output} />`}
      ${result !== undefined && result.text !== "" && html`<${Copy} text=${result.text} label=${t("task.answer")} />`}
    </div>
    ${output.refusal !== null && !isOver && html`<${Notice} kind="bad" text=${output.refusal} />`}
    ${!isOver && output.attempt > 1 && html`<p class="note">${t("task.again", { n: output.attempt })}</p>`}
    ${
      reasoning.length > 0 &&
      html`<details open=${!isOver}>
        <summary>${t("task.reasoning")}</summary>
        <${LongText} blocks=${reasoning} label=${t("task.reasoning")} isLive=${!isOver} />
      </details>`
    }
    <${Body} task=${task} text=${text} />
    ${
      isCutJson(result, task.request) &&
      html`<${Notice} kind="plain" text=${t("answer.cutJson", { n: result?.usage.completion_tokens ?? 0 })} />`
    }
    <${AnswerParts} result=${result} />
  </section>`;
}

/** @param {{ output: import("./output.js").Shown }} props */
function Live({ output }) {
  return output.isConnected
    ? html`<span class="live">${t("task.live")}</span>`
    : html`<span class="muted" role="status">${t("task.reconnecting")}</span>`;
}

/** @param {{ task: import("./types.js").Task, text: readonly string[] }} props */
function Body({ task, text }) {
  const isOver = hasEnded(task);
  const vectors = task.result?.embeddings;
  if (vectors !== undefined)
    return html`<p>${t("task.vectors", { n: vectors.length, size: vectors[0]?.length ?? 0 })}</p>`;
  if (text.some((block) => block !== "")) {
    return html`<${LongText} blocks=${text} label=${t("task.answer")} isLive=${!isOver} />`;
  }
  if (task.result?.tool_calls !== undefined) return null;
  return html`<p class="muted">${isOver ? t("task.noTextAtAll") : t("task.noText")}</p>`;
}
