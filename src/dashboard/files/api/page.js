/** The reference of the API, from the document that the server makes of itself: `/docs/api` leads here. */
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { call } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go, href } from "../core/router.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { found, groupsOf } from "./document.js";
import { Operation } from "./operation.js";

/** @param {import("../pages.js").PageProps} props */
export function ApiPage({ rest, query }) {
  const { value: document, failure, reload } = useLoaded(load, []);
  const groups = useMemo(() => (document === null ? [] : groupsOf(document)), [document]);
  if (document === null) return html`<${Missing} failure=${failure} reload=${reload} />`;
  const sought = query.get("q") ?? "";
  const shown = found(groups, sought);
  const operation = groups.flatMap(({ operations }) => operations).find(({ id }) => id === rest);
  return html`<div class=${operation ? "api one" : "api"}>
    <nav class="api-list" aria-label=${t("api.operations")}>
      <${Search} sought=${sought} rest=${rest} />
      ${shown.length === 0 && html`<p class="empty">${t("api.none")}</p>`}
      ${shown.map((group) => html`<${GroupList} key=${group.name} group=${group} chosen=${rest} sought=${sought} />`)}
    </nav>
    ${
      operation
        ? html`<${Operation} key=${operation.id} document=${document} operation=${operation} sought=${sought} />`
        : html`<${Introduction} document=${document} rest=${rest} />`
    }
  </div>`;
}

/** @returns {Promise<import("./document.js").Document>} */
function load() {
  return call("GET", "../../openapi.json");
}

/** @param {string} sought @returns {Record<string, string>} */
const filterOf = (sought) => (sought === "" ? {} : { q: sought });

/** @param {{ sought: string, rest: string }} props */
function Search({ sought, rest }) {
  const onInput = (/** @type {InputEvent} */ event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.currentTarget);
    go(href("api", rest, filterOf(value)), { replace: true });
  };
  return html`<label class="api-search">
    ${t("api.search")} <input type="search" name="q" value=${sought} onInput=${onInput} autocomplete="off" />
  </label>`;
}

/** @param {{ group: import("./document.js").Group, chosen: string, sought: string }} props */
function GroupList({ group: { name, operations }, chosen, sought }) {
  return html`<h2 lang="en">${name}</h2>
    <ul>
      ${operations.map(
        ({ id, method, path, summary }) =>
          html`<li key=${id}>
            <a href=${href("api", id, filterOf(sought))} aria-current=${id === chosen ? "page" : undefined}>
              <span class="mono"><b class="api-method ${method}">${method}</b> ${path.replace("/api/v1", "")}</span>
              <span class="note" lang="en">${summary}</span>
            </a>
          </li>`,
      )}
    </ul>`;
}

/** @param {{ document: import("./document.js").Document, rest: string }} props */
function Introduction({ document: { info }, rest }) {
  return html`<section class="panel api-introduction">
    <h2>${info.title} ${info.version}</h2>
    ${rest !== "" && html`<p class="notice bad">${t("api.noOperation", { id: rest })}</p>`}
    <p lang="en">${info.description}</p>
    <p>${t("api.base")}</p>
    <p>${t("api.credentials")}</p>
    <p>${t("api.errors")}</p>
    <p><a href="./openapi.json" onClick=${download}>${t("api.document")}</a></p>
  </section>`;
}

/** The document wants credentials, which a link cannot carry. @param {MouseEvent} event */
async function download(event) {
  event.preventDefault();
  const text = JSON.stringify(await load(), null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "openapi.json";
  link.click();
  URL.revokeObjectURL(link.href);
}
