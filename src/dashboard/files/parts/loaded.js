/** Data that a page loads from the server: while it comes, when it failed, and again when it is asked to. */
import { html } from "htm/preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Notice } from "./notice.js";

/**
 * @template Value
 * @typedef {object} Loaded
 * @property {Value | null} value the latest one; null: none came yet
 * @property {string | null} failure why the last try failed
 * @property {() => void} reload
 */

/**
 * @template Value
 * @param {() => Promise<Value>} load
 * @param {readonly unknown[]} of it is loaded anew when one of these changes, and what came before is forgotten
 * @returns {Loaded<Value>}
 */
export function useLoaded(load, of) {
  const [state, setState] = useState(
    /** @type {{ value: Value | null, failure: string | null }} */ ({ value: null, failure: null }),
  );
  const [round, setRound] = useState(0);
  useEffect(() => setState({ value: null, failure: null }), of);
  useEffect(() => {
    let isWanted = true;
    load().then(
      (value) => isWanted && setState({ value, failure: null }),
      (/** @type {unknown} */ error) => isWanted && setState(({ value }) => ({ value, failure: sentenceOf(error) })),
    );
    return () => {
      isWanted = false;
    };
  }, [...of, round]);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  return { ...state, reload };
}

/** The text in the place of something that is not there yet. @param {{ failure: string | null, reload: () => void }} props */
export function Missing({ failure, reload }) {
  if (failure === null) return html`<p class="empty">${t("common.loading")}</p>`;
  return html`<${Notice} kind="bad" text=${failure} /><button onClick=${reload}>${t("common.reload")}</button>`;
}
