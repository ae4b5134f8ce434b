/** The sign-in: with a key, or with user and password. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { issuer, refusal, signInElsewhere, signInWithKey, signInWithPassword } from "../core/session.js";
import { Choices } from "./choices.js";
import { Notice } from "./notice.js";

export function SignIn() {
  const [how, setHow] = useState(/** @type {"key" | "password"} */ ("key"));
  const [isBusy, setBusy] = useState(false);
  /** @param {SubmitEvent} event */
  const onSubmit = async (event) => {
    event.preventDefault();
    const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    const text = (/** @type {string} */ name) => String(given.get(name) ?? "");
    setBusy(true);
    refusal.value = null;
    try {
      await (how === "key" ? signInWithKey(text("key")) : signInWithPassword(text("user"), text("password")));
    } catch (error) {
      refusal.value = sentenceOf(error);
      setBusy(false);
    }
  };
  return html`<main class="sign-in">
    <form onSubmit=${onSubmit}>
      <h1><span class="brand">ALT_LAS</span> ${t("signIn.title")}</h1>
      ${issuer !== "" && html`<button type="button" onClick=${signInElsewhere}>${t("signIn.withIssuer", { name: issuer })}</button>`}
      <div class="tabs" role="group" aria-label=${t("signIn.how")}>
        <button type="button" aria-pressed=${how === "key"} onClick=${() => setHow("key")}>
          ${t("signIn.withKey")}
        </button>
        <button type="button" aria-pressed=${how === "password"} onClick=${() => setHow("password")}>
          ${t("signIn.withPassword")}
        </button>
      </div>
      ${how === "key" ? html`<${KeyFields} />` : html`<${PasswordFields} />`}
      ${refusal.value !== null && html`<${Notice} kind="bad" text=${refusal.value} />`}
      <button class="primary" type="submit" disabled=${isBusy}>
        ${isBusy ? t("signIn.checking") : t("signIn.submit")}
      </button>
    </form>
    <div class="choices"><${Choices} /></div>
  </main>`;
}

function KeyFields() {
  return html`<label>
      ${t("signIn.key")}
      <input name="key" type="password" autocomplete="off" spellcheck=${false} required key="key" />
    </label>
    <p class="note">${t("signIn.keyNote")} ${t("signIn.noKey")}</p>`;
}

function PasswordFields() {
  return html`<label>
      ${t("signIn.user")}
      <input name="user" type="text" autocomplete="username" autocapitalize="none" spellcheck=${false} required />
    </label>
    <label>
      ${t("signIn.password")}
      <input name="password" type="password" autocomplete="current-password" required key="password" />
    </label>
    <p class="note">${t("signIn.passwordNote")}</p>`;
}
