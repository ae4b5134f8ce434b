/** Buttons of a task: those that its reader may use and its status allows. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { call, post, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go, href } from "../core/router.js";
import { maySubmit } from "../core/session.js";
import { ask } from "../parts/dialog.js";
import { Notice } from "../parts/notice.js";
import { hasEnded } from "./types.js";

/** @param {{ task: import("./types.js").Task, onChanged: () => void }} props */
export function Actions({ task, onChanged }) {
  const [failure, setFailure] = useState(/** @type {string | null} */ (null));
  const [isBusy, setBusy] = useState(false);
  if (!maySubmit.value) return null;
  const attempt = (/** @type {() => Promise<void>} */ act) => async () => {
    setBusy(true);
    setFailure(null);
    await act().catch((error) => setFailure(sentenceOf(error)));
    setBusy(false);
  };
  const path = `task/${task.task_id}`;
  const cancel = attempt(async () => {
    const question = { title: t("task.cancelTitle"), text: t("task.cancelText"), yes: t("task.cancelDo") };
    if ((await ask({ ...question, isDangerous: true })) === null) return;
    await post(`${path}/cancel`).finally(onChanged);
  });
  const retry = attempt(async () => {
    const { task_id } = /** @type {{ task_id: string }} */ (await post(`${path}/retry`));
    go(href("tasks", task_id));
  });
  const remove = attempt(async () => {
    const question = { title: t("task.removeTitle"), text: t("task.removeText"), yes: t("task.removeDo") };
    if ((await ask({ ...question, isDangerous: true })) === null) return;
    await call("DELETE", path);
    go(href("tasks"));
  });
  return html`<span class="actions">
      ${
        hasEnded(task)
          ? html`<button disabled=${isBusy} onClick=${retry}>${t("task.retry")}</button>
              <button disabled=${isBusy} onClick=${remove}>${t("task.remove")}</button>`
          : html`<button disabled=${isBusy} onClick=${cancel}>${t("task.cancel")}</button>`
      }
    </span>
    ${failure !== null && html`<${Notice} kind="bad" text=${failure} />`}`;
}
