/** The API keys, with what may be done to each. Those of the configuration are changed there. */
import { html } from "htm/preact";
import { call } from "../core/api.js";
import { moment } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { ask } from "../parts/dialog.js";

/** @typedef {import("./page.js").Key} Key */
/** @typedef {import("./page.js").MadeKey} MadeKey */
/** @typedef {import("./page.js").Work} Work */

const SCOPES = ["submit", "read", "admin", "metrics"];
const HOUR = 3600;

/** @param {{ keys: readonly Key[], users: readonly import("./page.js").User[], run: (work: Work) => void }} props */
export function KeysTable({ keys, users, run }) {
  const columns = [t("accounts.key"), t("accounts.user"), t("accounts.scopes"), t("accounts.models")];
  const times = [t("accounts.expires"), t("accounts.used"), t("accounts.since")];
  return html`<section class="panel" aria-labelledby="keys">
    <h2 id="keys">${t("accounts.keys")}</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="keys">
      <table>
        <thead>
          <tr>
            ${[...columns, ...times].map((name) => html`<th key=${name} scope="col">${name}</th>`)}
            <th scope="col"><span class="unseen">${t("accounts.actions")}</span></th>
          </tr>
        </thead>
        <tbody>
          ${keys.map((key) => html`<${Row} key=${key.name} of=${key} run=${run} />`)}
        </tbody>
      </table>
    </div>
    <button onClick=${() => run(() => added(users.map(({ name }) => name)))}>${t("accounts.addKey")}</button>
  </section>`;
}

/** @param {{ of: Key, run: (work: Work) => void }} props */
function Row({ of, run }) {
  const {
    name,
    user,
    scopes,
    models,
    expires_at: end,
    previous_until: before,
    last_used_at: used,
    created_at: since,
  } = of;
  return html`<tr>
    <th scope="row">${name}</th>
    <td>${user}</td>
    <td>${scopes?.join(", ") ?? t("accounts.all")}</td>
    <td>${models?.join(", ") ?? t("accounts.all")}</td>
    <td>
      ${end === null ? t("accounts.never") : moment(end)}
      ${before !== null && html`<br /><span class="muted">${t("accounts.before", { time: moment(before) })}</span>`}
    </td>
    <td>${used === null ? t("accounts.unused") : moment(used)}</td>
    <td>${since === null ? tCode("source", "file") : moment(since)}</td>
    <td class="row-buttons">
      ${
        since !== null &&
        html`<button
            class="quiet"
            aria-label="${t("accounts.rotate")}: ${name}"
            onClick=${() => run(() => rotated(name))}
          >
            ${t("accounts.rotate")}
          </button>
          <button class="quiet" aria-label="${t("accounts.revoke")}: ${name}" onClick=${() => run(() => revoked(name))}>
            ${t("accounts.revoke")}
          </button>`
      }
    </td>
  </tr>`;
}

/** @param {readonly string[]} users @returns {Promise<MadeKey | null>} */
async function added(users) {
  const given = await ask({
    title: t("accounts.addKey"),
    text: t("accounts.addKeyText"),
    yes: t("accounts.add"),
    fields: html`<label>
        ${t("accounts.user")}
        <select name="user">
          ${users.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
        </select>
      </label>
      <label
        >${t("accounts.key")} <input name="name" spellcheck=${false} autocapitalize="none" autocomplete="off"
      /></label>
      <fieldset class="several">
        <legend>${t("accounts.scopesHint")}</legend>
        ${SCOPES.map(
          (scope) =>
            html`<label key=${scope}
              ><input type="checkbox" name="scope" value=${scope} /><span>${scope}</span></label
            >`,
        )}
      </fieldset>
      <label
        >${t("accounts.models")} <input name="models" placeholder=${t("accounts.modelsHint")} spellcheck=${false}
      /></label>
      <label>${t("accounts.expires")} <input name="end" type="datetime-local" /></label>`,
  });
  return given && call("POST", "keys", { body: keyIn(given) });
}

/** @param {FormData} given */
function keyIn(given) {
  const [name = "", models = "", end = ""] = ["name", "models", "end"].map((one) =>
    String(given.get(one) ?? "").trim(),
  );
  const scopes = given.getAll("scope");
  const named = models.split(",").flatMap((one) => one.trim() || []);
  return {
    user: given.get("user"),
    ...(name !== "" && { name }),
    ...(scopes.length > 0 && { scopes }),
    ...(named.length > 0 && { models: named }),
    ...(end !== "" && { expires_at: new Date(end).toISOString() }),
  };
}

/** @param {string} name @returns {Promise<MadeKey | null>} */
async function rotated(name) {
  const given = await ask({
    title: t("accounts.rotateTitle", { name }),
    text: t("accounts.rotateText"),
    yes: t("accounts.rotate"),
    fields: html`<label>
      ${t("accounts.overlap")}
      <input name="hours" type="number" min="0" max="2160" step="any" defaultValue="24" required inputmode="decimal" />
    </label>`,
  });
  if (given === null) return null;
  const body = { overlap_seconds: Math.round(Number(given.get("hours")) * HOUR) };
  return call("POST", `keys/${encodeURIComponent(name)}/rotate`, { body });
}

/** @param {string} name */
async function revoked(name) {
  const title = t("accounts.revokeTitle", { name });
  const given = await ask({ title, text: t("accounts.revokeText"), yes: t("accounts.revoke"), isDangerous: true });
  if (given === null) return null;
  await call("DELETE", `keys/${encodeURIComponent(name)}`);
  return t("accounts.revoked", { name });
}
