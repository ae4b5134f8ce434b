/** Copies a text, and says so. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { t } from "../core/i18n.js";

/** Milliseconds for which it says so. */
const SHOWN = 1500;

/** @param {{ text: string, label: string }} props label: what is copied, for those who hear the page */
export function Copy({ text, label }) {
  const [isCopied, setCopied] = useState(false);
  // Only a page that came over https or from this machine may.
  if (!navigator.clipboard) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN);
  };
  const name = isCopied ? t("task.copied") : t("task.copy");
  return html`<button
    type="button"
    class="quiet copy"
    aria-label="${name}: ${label}"
    onClick=${() => void copy().catch(() => {})}
  >
    ${name}
  </button>`;
}
