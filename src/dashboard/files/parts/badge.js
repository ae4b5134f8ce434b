/** One word for a state, in its colour; the word is there for those who do not see colours. */
import { html } from "htm/preact";
import { tCode } from "../core/i18n.js";

/** @typedef {"good" | "busy" | "warn" | "bad" | "off"} Tone */

/** @type {Readonly<Record<string, Tone>>} */
const TONES = {
  queued: "warn",
  running: "busy",
  completed: "good",
  failed: "bad",
  canceled: "off",
  starting: "warn",
  ready: "good",
  hot: "warn",
  draining: "warn",
  drained: "off",
  unfit: "bad",
  faulted: "bad",
  lost: "bad",
  cold: "off",
  loading: "warn",
  unloading: "warn",
};

/** @param {{ area: "status" | "gpuState" | "instance", code: string, title?: string }} props area: the words that it is one of */
export function Badge({ area, code, title }) {
  return html`<span class="badge ${TONES[code] ?? "off"}" title=${title}>${tCode(area, code)}</span>`;
}
