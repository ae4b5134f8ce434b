/** Saves a table of the server as a file: a link could not send the credentials. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { open, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Notice } from "./notice.js";

/** @param {{ path: string, query: import("../core/api.js").CallOptions["query"], name: string }} props name: of the file */
export function SaveCsv({ path, query, name }) {
  const [failure, setFailure] = useState(/** @type {string | null} */ (null));
  const save = async () => {
    setFailure(null);
    try {
      const file = await (await open("GET", path, { query: { ...query, format: "csv" } })).blob();
      const url = URL.createObjectURL(file);
      const link = document.createElement("a");
      Object.assign(link, { href: url, download: name });
      link.click();
      URL.revokeObjectURL(url);
    } catch (error) {
      setFailure(sentenceOf(error));
    }
  };
  return html`<button type="button" onClick=${save}>${t("common.csv")}</button>
    ${failure !== null && html`<${Notice} kind="bad" text=${failure} />`}`;
}
