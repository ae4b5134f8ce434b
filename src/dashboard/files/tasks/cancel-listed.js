/** Cancels all that the list shows and has not ended, over all its pages. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { post, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { ask } from "../parts/dialog.js";
import { Notice } from "../parts/notice.js";
import { cancellationOf } from "./filters.js";

/**
 * @param {{ filters: import("./filters.js").Filters, counts: Record<string, number> | null, onDone: () => void }} props
 */
export function CancelListed({ filters, counts, onDone }) {
  const [said, setSaid] = useState(/** @type {{ kind: "good" | "bad", text: string } | null} */ (null));
  const count = (filters.status !== "" && counts?.[filters.status]) || 0;
  const mayCancel = filters.status === "queued" || filters.status === "running";
  const cancel = async () => {
    const text = t("tasks.cancelListedText", { n: count });
    const question = { title: t("tasks.cancelListedTitle"), text, yes: t("tasks.cancelListedDo"), isDangerous: true };
    if ((await ask(question)) === null) return;
    try {
      const { canceled } = /** @type {{ canceled: number }} */ (await post("tasks/cancel", cancellationOf(filters)));
      setSaid({ kind: "good", text: t("tasks.canceled", { n: canceled }) });
    } catch (error) {
      setSaid({ kind: "bad", text: sentenceOf(error) });
    }
    onDone();
  };
  if (said === null && (!mayCancel || count === 0)) return null;
  return html`<div class="bulk">
    ${mayCancel && count > 0 && html`<button onClick=${cancel}>${t("tasks.cancelListed", { n: count })}</button>`}
    ${said !== null && html`<${Notice} ...${said} />`}
  </div>`;
}
