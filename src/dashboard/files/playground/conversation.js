/** The conversation so far, and the answer as it comes. */
import { html } from "htm/preact";
import { duration, rate } from "../core/format.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { grown } from "../parts/blocks.js";
import { AnswerParts } from "../parts/answer-parts.js";
import { Copy } from "../parts/copy.js";
import { LongText } from "../parts/long-text.js";
import { Notice } from "../parts/notice.js";
import { firstTokenOf, speedOf } from "./pace.js";
import { conversation, run } from "./state.js";

export function Conversation() {
  const { value } = run;
  if (value === null) return html`<p class="panel empty">${t("play.empty")}</p>`;
  return html`<section class="panel conversation" aria-label=${t("play.messages")}>
    ${conversation.value.map(
      ({ role, content }, index) =>
        html`<${Said}
          key=${index}
          who=${t(role === "user" ? "play.you" : "play.answer")}
          blocks=${grown([], content)}
        />`,
    )}
    <${Said} who=${t(value.kind === "text" ? "play.text" : "play.you")} blocks=${grown([], value.prompt)} />
    <${Answer} run=${value} />
  </section>`;
}

/** @param {{ who: string, blocks: readonly string[] }} props */
function Said({ who, blocks }) {
  return html`<div class="said">
    <span class="speaker">${who}</span>
    <${LongText} blocks=${blocks} label=${who} />
  </div>`;
}

/** @param {{ run: import("./state.js").Run }} props */
function Answer({ run: { taskId, gpuId, text, reasoning, ended, failure, isConnected, pace } }) {
  const isLive = ended === null && failure === null;
  return html`<div class="said" data-answer=${isLive ? "coming" : "over"}>
    <span class="speaker">${t("play.answer")}</span>
    ${
      reasoning.length > 0 &&
      html`<details open=${isLive}>
        <summary>${t("task.reasoning")}</summary>
        <${LongText} blocks=${reasoning} label=${t("task.reasoning")} isLive=${isLive} />
      </details>`
    }
    ${text.length > 0 && html`<${LongText} blocks=${text} label=${t("play.answer")} isLive=${isLive} />`}
    <${AnswerParts} result=${ended?.result} />
    ${isLive && gpuId === null && html`<p class="muted">${t("play.waiting")}</p>`}
    ${!isConnected && isLive && html`<p class="muted" role="status">${t("task.reconnecting")}</p>`}
    ${failure !== null && html`<${Notice} kind="bad" text=${failure} />`}
    ${
      ended?.result?.finish_reason === "length" &&
      html`<p class="note">${t("play.cut", { n: ended.result.usage.completion_tokens })}</p>`
    }
    ${ended?.status === "canceled" && html`<p class="note">${t("play.stopped")}</p>`}
    <p class="note stats">
      <${Figures} gpuId=${gpuId} pace=${pace} ended=${ended} />
      ${taskId !== null && html` <a href=${href("tasks", taskId)}>${t("play.toTask")}</a>`}
      ${ended?.result && ended.result.text !== "" && html`<${Copy} text=${ended.result.text} label=${t("play.answer")} />`}
    </p>
  </div>`;
}

/** @param {Pick<import("./state.js").Run, "gpuId" | "pace" | "ended">} props */
function Figures({ gpuId, pace, ended }) {
  const tokens = ended?.result?.usage.completion_tokens;
  const firstToken = firstTokenOf(pace);
  const speed = speedOf(pace, tokens);
  return [
    gpuId === null ? null : t("play.onGpu", { id: String(gpuId) }),
    firstToken === null ? null : t("play.firstToken", { time: duration(firstToken) }),
    speed === null ? null : t("play.perSecond", { n: rate(speed) }),
    tokens === undefined ? null : t("play.tokens", { n: tokens }),
  ]
    .filter((text) => text !== null)
    .join(" · ");
}
