/** Where the next message, or the text, is written and sent. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { href } from "../core/router.js";
import { Notice } from "../parts/notice.js";
import { canChat, schemaFault } from "./request.js";
import { change, conversation, forget, form, isRunning, run, send, stop } from "./state.js";

/** @typedef {import("./page.js").Model} Model */
/** @typedef {{ currentTarget: HTMLTextAreaElement }} TextEvent */

const KINDS = /** @type {const} */ ([
  ["messages", "play.messages"],
  ["text", "play.text"],
]);

/** @param {SubmitEvent} event */
function onSubmit(event) {
  event.preventDefault();
  sendIfFit();
}

/** A fault of the schema is told at its field, which may be out of sight. */
function sendIfFit() {
  if (schemaFault(form.value) === null) void send();
  else /** @type {HTMLElement | null} */ (document.querySelector("textarea[name=schema]"))?.focus();
}

/** @param {KeyboardEvent} event */
function onKeyDown(event) {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  sendIfFit();
}

/** @param {"prompt" | "system"} name */
function onText(name) {
  return (/** @type {TextEvent} */ { currentTarget }) => change({ [name]: currentTarget.value });
}

/** @param {{ models: readonly Model[] }} props */
export function Input({ models }) {
  const { kind, prompt, system, model } = form.value;
  const mayChat = canChat(models.find(({ name }) => name === model));
  const isText = kind === "text";
  return html`<form class="panel input" onSubmit=${onSubmit} onKeyDown=${onKeyDown}>
    ${
      models.length === 0 &&
      html`<p class="notice">${t("play.noModels")} <a href=${href("models")}>${t("nav.models")}</a></p>`
    }
    <div class="tabs" role="group" aria-label=${t("play.input")}>
      ${KINDS.map(
        ([one, word]) =>
          html`<button
            type="button"
            key=${one}
            aria-pressed=${kind === one}
            disabled=${one === "messages" && !mayChat}
            onClick=${() => change({ kind: one })}
          >
            ${t(word)}
          </button>`,
      )}
    </div>
    ${!isText && html`<${SystemField} value=${system} />`}
    <label>
      ${t(isText ? "play.text" : "play.message")}
      <textarea
        name="prompt"
        rows=${isText ? 6 : 3}
        placeholder=${t(isText ? "play.textHint" : "play.messageHint")}
        value=${prompt}
        onInput=${onText("prompt")}
      ></textarea>
    </label>
    <${Buttons} />
  </form>`;
}

/** @param {{ value: string }} props */
function SystemField({ value }) {
  return html`<details open=${value !== ""}>
    <summary>${t("play.system")}</summary>
    <textarea
      rows="2"
      aria-label=${t("play.system")}
      placeholder=${t("play.systemHint")}
      value=${value}
      onInput=${onText("system")}
    ></textarea>
  </details>`;
}

function Buttons() {
  const [failure, setFailure] = useState(/** @type {string | null} */ (null));
  const onStop = () => {
    setFailure(null);
    stop().catch((error) => setFailure(sentenceOf(error)));
  };
  const isComing = isRunning();
  return html`<div class="buttons">
      <span class="note keys">${t("play.sendKeys")}</span>
      ${
        (conversation.value.length > 0 || run.value !== null) &&
        !isComing &&
        html`<button type="button" onClick=${forget}>${t("play.clear")}</button>`
      }
      ${
        isComing
          ? html`<button type="button" key="stop" disabled=${run.value?.taskId === null} onClick=${onStop}>
              ${t("play.stopIt")}
            </button>`
          : html`<button type="submit" key="send" class="primary" disabled=${form.value.prompt === ""}>
              ${t("play.send")}
            </button>`
      }
    </div>
    ${failure !== null && html`<${Notice} kind="bad" text=${failure} />`}`;
}
