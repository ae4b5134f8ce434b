/** Goes to a task, or to the tasks of a batch, by the id that somebody has pasted. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { ApiError, get, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go, href } from "../core/router.js";
import { Notice } from "../parts/notice.js";
import { idIn } from "./filters.js";

export function Find() {
  const [failure, setFailure] = useState(/** @type {string | null} */ (null));
  /** @param {SubmitEvent} event */
  const onSubmit = async (event) => {
    event.preventDefault();
    const words = String(new FormData(/** @type {HTMLFormElement} */ (event.currentTarget)).get("id"));
    if (words.trim() === "") return;
    const id = idIn(words);
    setFailure(null);
    try {
      if (id === null) setFailure(t("tasks.notAnId"));
      else go(await placeOf(id));
    } catch (error) {
      setFailure(sentenceOf(error));
    }
  };
  return html`<form class="find" role="search" onSubmit=${onSubmit}>
    <input
      name="id"
      type="search"
      aria-label=${t("tasks.search")}
      placeholder=${t("tasks.searchHint")}
      spellcheck=${false}
      autocomplete="off"
    />
    <button type="submit">${t("tasks.find")}</button>
    ${failure !== null && html`<${Notice} kind="bad" text=${failure} />`}
  </form>`;
}

/** @param {string} id @throws {ApiError} it is neither's */
async function placeOf(id) {
  if (await exists(`task/${id}`)) return href("tasks", id);
  if (await exists(`batch/${id}`)) return href("tasks", "", { batch_id: id });
  throw new ApiError(t("tasks.notFound"), 404, "not_found");
}

/** @param {string} path */
async function exists(path) {
  try {
    await get(path);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return false;
    throw error;
  }
}
