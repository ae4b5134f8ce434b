/** Taking a GPU out of service and back, with the question before it. For admins. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { post, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { tryNow } from "../core/connection.js";
import { ask } from "../parts/dialog.js";
import { Notice } from "../parts/notice.js";

/** States that end by a resume. */
const OUT = new Set(["draining", "drained", "faulted", "unfit"]);

/** @param {{ gpu: Pick<import("../core/types.ts").Gpu, "id" | "status">, onDone?: () => void }} props */
export function Switch({ gpu, onDone }) {
  const [failure, setFailure] = useState(/** @type {string | null} */ (null));
  const isOut = OUT.has(gpu.status);
  const change = async () => {
    const wish = isOut ? {} : await askForDeadline(gpu.id);
    if (wish === null) return;
    try {
      await post(`gpus/${gpu.id}/${isOut ? "resume" : "drain"}`, wish);
      setFailure(null);
    } catch (error) {
      setFailure(sentenceOf(error));
    }
    tryNow();
    onDone?.();
  };
  const label = t(isOut ? "gpus.resumeOne" : "gpus.drainOne", { gpu: gpu.id });
  return html`<button type="button" aria-label=${label} onClick=${() => void change()}>
      ${isOut ? t("gpus.resume") : t("gpus.drain")}
    </button>
    ${failure !== null && html`<${Notice} kind="bad" text=${failure} />`}`;
}

/** @param {number} gpu @returns {Promise<{ deadline_seconds?: number } | null>} null: it is not to be drained after all */
async function askForDeadline(gpu) {
  const given = await ask({
    title: t("gpus.drainTitle", { gpu }),
    text: t("gpus.drainText"),
    yes: t("gpus.drain"),
    fields: html`<label>
      ${t("gpus.drainDeadline")}
      <input name="deadline" type="number" min="0" max="86400" step="any" inputmode="decimal" />
    </label>`,
  });
  if (given === null) return null;
  const deadline = String(given.get("deadline") ?? "");
  return deadline === "" ? {} : { deadline_seconds: Number(deadline) };
}
