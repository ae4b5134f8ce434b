/** The webhooks about a task, and how each delivery went. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, post, sentenceOf } from "../core/api.js";
import { ago, moment } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { maySubmit } from "../core/session.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { Notice } from "../parts/notice.js";
import { useNow } from "../parts/now.js";

/** @typedef {import("../../../http/schemas/webhooks.ts").DeliveriesAnswer} Deliveries */
/** @typedef {Deliveries["webhooks"][number]} Delivery */

/** @param {{ task: import("./types.js").Task }} props */
export function Webhooks({ task: { task_id, status } }) {
  const path = `task/${task_id}/webhooks`;
  const load = () => /** @type {Promise<Deliveries>} */ (get(path));
  const { value, failure, reload } = useLoaded(load, [path, status]);
  const [refusal, setRefusal] = useState(/** @type {string | null} */ (null));
  const again = async (/** @type {string} */ webhook_id) => {
    setRefusal(null);
    await post(path, { webhook_id }).catch((error) => setRefusal(sentenceOf(error)));
    reload();
  };
  return html`<section class="panel" aria-labelledby="webhooks">
    <div class="panel-head">
      <h3 id="webhooks">${t("task.webhooks")}</h3>
      <button class="quiet" onClick=${reload}>${t("common.reload")}</button>
    </div>
    ${refusal !== null && html`<${Notice} kind="bad" text=${refusal} />`}
    ${
      value === null
        ? html`<${Missing} failure=${failure} reload=${reload} />`
        : value.webhooks.map((one) => html`<${OneDelivery} key=${one.webhook_id} delivery=${one} onAgain=${again} />`)
    }
  </section>`;
}

/** @param {{ delivery: Delivery, onAgain: (id: string) => void }} props */
function OneDelivery({ delivery, onAgain }) {
  const { webhook_id, event, url, status, attempts, next_attempt_at } = delivery;
  const now = useNow(status === "pending");
  const last = attempts.at(-1);
  const tone = { pending: "warn", delivered: "good", failed: "bad" }[status];
  return html`<div class="delivery">
    <span class="badge ${tone}">${tCode("webhook", status)}</span> <code>${event}</code>
    <span class="muted url">${url}</span>
    <span class="note">
      ${t("task.webhookTries")}: ${attempts.length}
      ${last && ` · ${last.error ?? last.status_code ?? ""} ${ago(last.at, now)}`}
      ${next_attempt_at !== null && ` · ${t("task.webhookNext", { time: moment(next_attempt_at) })}`}
    </span>
    ${
      maySubmit.value &&
      status !== "pending" &&
      html`<button onClick=${() => onAgain(webhook_id)}>${t("task.webhookAgain")}</button>`
    }
  </div>`;
}
