/** The parts of an answer beside its text: calls of tools, why it is not of the form that was asked for, and how likely its tokens were. */
import { html } from "htm/preact";
import { number } from "../core/format.js";
import { t } from "../core/i18n.js";
import { grown } from "./blocks.js";
import { LongText } from "./long-text.js";
import { indented, step } from "./answer-words.js";
import { Notice } from "./notice.js";

/** @typedef {NonNullable<import("../core/types.ts").Task["result"]>} Result */
/** @typedef {NonNullable<Result["logprobs"]>[number]} Token */

/** Tokens that are shown: each is an element of the page. */
const MOST_TOKENS = 2000;

/** @param {{ result: Result | undefined }} props */
export function AnswerParts({ result }) {
  if (result === undefined) return null;
  const { tool_calls: calls = [], mismatch, logprobs = [] } = result;
  return html`
    ${mismatch !== undefined && html`<${Notice} kind="plain" text=${mismatch} />`}
    ${calls.map((call) => html`<${Call} key=${call.id} call=${call} />`)}
    ${logprobs.length > 0 && html`<${Tokens} tokens=${logprobs} />`}
  `;
}

/** @param {{ call: NonNullable<Result["tool_calls"]>[number] }} props */
function Call({ call: { id, function: tool } }) {
  return html`<div class="call">
    <p class="note">${t("answer.call")} <code>${tool.name}</code> <span class="muted">${id}</span></p>
    <${LongText} blocks=${grown([], indented(tool.arguments))} label=${tool.name} />
  </div>`;
}

/** @param {{ tokens: readonly Token[] }} props */
function Tokens({ tokens }) {
  const shown = tokens.slice(0, MOST_TOKENS);
  return html`<details>
    <summary>${t("answer.tokens")}</summary>
    <p class="note">${t("answer.tokensHint")}</p>
    <p class="tokens">
      ${shown.map((token, index) => html`<span key=${index} class=${`likely-${step(token)}`} title=${titleOf(token)}>${token.token}</span>`)}
    </p>
    ${tokens.length > MOST_TOKENS && html`<p class="note">${t("answer.tokensCut", { n: MOST_TOKENS })}</p>`}
  </details>`;
}

/** @param {Token} token */
function titleOf({ token, logprob, top_logprobs: top }) {
  const others = top.length === 0 ? [{ token, logprob }] : top;
  return others.map((one) => `${JSON.stringify(one.token)} ${number(Math.exp(one.logprob) * 100, 1)} %`).join("\n");
}
