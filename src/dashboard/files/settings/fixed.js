/** The settings that count from the next start, to be read. */
import { html } from "htm/preact";
import { t, tCode } from "../core/i18n.js";
import { fixedIn } from "./keys.js";

/** @param {{ answer: import("./keys.js").Answer }} props */
export function Fixed({ answer }) {
  return html`<details class="panel">
    <summary>${t("settings.fixed")}</summary>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("settings.fixed")}>
      <table>
        <thead>
          <tr>
            <th scope="col">${t("settings.key")}</th>
            <th scope="col">${t("settings.value")}</th>
            <th scope="col">${t("settings.source")}</th>
          </tr>
        </thead>
        <tbody>
          ${fixedIn(answer).map(
            ({ key, value, source }) =>
              html`<tr key=${key}>
                <th scope="row"><code>${key}</code></th>
                <td><code>${JSON.stringify(value)}</code></td>
                <td>${tCode("source", source)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}
