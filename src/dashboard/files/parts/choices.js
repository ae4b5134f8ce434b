/** The choice of language and theme. */
import { html } from "htm/preact";
import { chooseLanguage, language, t } from "../core/i18n.js";
import { chooseTheme, chosenTheme } from "../core/theme.js";

export function Choices() {
  return html`
    <select
      class="quiet"
      aria-label=${t("app.language")}
      value=${language.value}
      onChange=${(/** @type {{ currentTarget: HTMLSelectElement }} */ { currentTarget }) =>
        chooseLanguage(currentTarget.value)}
    >
      <option value="en" lang="en">English</option>
      <option value="tr" lang="tr">Türkçe</option>
    </select>
    <select
      class="quiet"
      aria-label=${t("app.theme")}
      value=${chosenTheme.value ?? "system"}
      onChange=${(/** @type {{ currentTarget: HTMLSelectElement }} */ { currentTarget }) =>
        chooseTheme(currentTarget.value)}
    >
      <option value="system">${t("theme.system")}</option>
      <option value="light">${t("theme.light")}</option>
      <option value="dark">${t("theme.dark")}</option>
    </select>
  `;
}
