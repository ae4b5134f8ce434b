/**
 * Questions before something that cannot be undone:
 *
 *     if (await ask({ title: t("…"), text: t("…"), yes: t("…") })) …
 *
 * The browser's own dialog keeps the keyboard inside, closes at Escape, and gives the focus back.
 */
import { signal } from "@preact/signals";
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../core/i18n.js";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} yes the button that does it
 * @property {boolean} [isDangerous]
 * @property {import("preact").ComponentChildren} [fields] more than a question: their values are what `ask` resolves with
 */

/** @type {import("@preact/signals").Signal<(Question & { answer: (given: FormData | null) => void }) | null>} */
const open = signal(null);

/** @param {Question} question @returns {Promise<FormData | null>} null: no */
export function ask(question) {
  open.value?.answer(null);
  return new Promise((answer) => {
    open.value = { ...question, answer };
  });
}

/** Where dialogs appear; once in the shell. */
export function Dialogs() {
  const question = open.value;
  return question && html`<${Dialog} key=${question.title} question=${question} />`;
}

/** @param {{ question: NonNullable<typeof open.value> }} props */
function Dialog({ question }) {
  const { title, text, yes, isDangerous = false, fields, answer } = question;
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => element.current?.showModal(), []);
  const end = (/** @type {FormData | null} */ given) => {
    // Closed by itself, not only taken away: that gives the focus back to where it was.
    element.current?.close();
    if (open.value === question) open.value = null;
    answer(given);
  };
  /** @param {SubmitEvent} event */
  const onSubmit = (event) => {
    event.preventDefault();
    end(new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)));
  };
  return html`<dialog ref=${element} aria-labelledby="dialog-title" onCancel=${() => end(null)}>
    <form onSubmit=${onSubmit}>
      <h2 id="dialog-title">${title}</h2>
      <p>${text}</p>
      ${fields}
      <div class="buttons">
        <button type="button" onClick=${() => end(null)}>${t("common.cancel")}</button>
        <button type="submit" class=${isDangerous ? "danger" : "primary"}>${yes}</button>
      </div>
    </form>
  </dialog>`;
}
