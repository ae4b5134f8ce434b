/** The users, with what may be done to each. Those of the configuration are changed there. */
import { html } from "htm/preact";
import { call } from "../core/api.js";
import { moment } from "../core/format.js";
import { t, tCode } from "../core/i18n.js";
import { ask } from "../parts/dialog.js";

/** @typedef {import("./page.js").User} User */
/** @typedef {import("./page.js").Work} Work */

const ROLES = ["admin", "user", "viewer"];

/** @param {{ users: readonly User[], run: (work: Work) => void }} props */
export function UsersTable({ users, run }) {
  return html`<section class="panel" aria-labelledby="users">
    <h2 id="users">${t("accounts.users")}</h2>
    <div class="scroll" tabindex="0" role="region" aria-labelledby="users">
      <table>
        <thead>
          <tr>
            <th scope="col">${t("accounts.user")}</th>
            <th scope="col">${t("accounts.role")}</th>
            <th scope="col">${t("accounts.team")}</th>
            <th scope="col">${t("accounts.password")}</th>
            <th scope="col" class="number">${t("accounts.keys")}</th>
            <th scope="col">${t("accounts.since")}</th>
            <th scope="col"><span class="unseen">${t("accounts.actions")}</span></th>
          </tr>
        </thead>
        <tbody>
          ${users.map((user) => html`<${Row} key=${user.name} user=${user} run=${run} />`)}
        </tbody>
      </table>
    </div>
    <button onClick=${() => run(added)}>${t("accounts.addUser")}</button>
  </section>`;
}

/** @param {{ user: User, run: (work: Work) => void }} props */
function Row({ user, run }) {
  const { name, role, team, has_password: hasPassword, keys, created_at: since } = user;
  return html`<tr>
    <th scope="row">${name}</th>
    <td>${tCode("role", role)}</td>
    <td>${team ?? t("settings.none")}</td>
    <td>${tCode("switch", String(hasPassword))}</td>
    <td class="number">${keys}</td>
    <td>${since === null ? tCode("source", "file") : moment(since)}</td>
    <td class="row-buttons">
      ${
        since !== null &&
        html`<button
            class="quiet"
            aria-label="${t("accounts.change")}: ${name}"
            onClick=${() => run(() => changed(user))}
          >
            ${t("accounts.change")}
          </button>
          <button class="quiet" aria-label="${t("accounts.remove")}: ${name}" onClick=${() => run(() => removed(name))}>
            ${t("accounts.remove")}
          </button>`
      }
    </td>
  </tr>`;
}

/** @param {{ role: string, team: string | null, password: string }} props password: what holds where none is given */
function Fields({ role, team, password }) {
  return html`<label>
      ${t("accounts.role")}
      <select name="role">
        ${ROLES.map((one) => html`<option key=${one} value=${one} selected=${one === role}>${tCode("role", one)}</option>`)}
      </select>
    </label>
    <label>
      ${t("accounts.team")}
      <input
        name="team"
        defaultValue=${team ?? ""}
        placeholder=${t("settings.none")}
        spellcheck=${false}
        autocapitalize="none"
      />
    </label>
    <label>
      ${t("accounts.password")}
      <input name="password" type="password" autocomplete="new-password" placeholder=${password} />
    </label>`;
}

/** @param {FormData} given */
function settingsIn(given) {
  const [role, team, password] = ["role", "team", "password"].map((name) => String(given.get(name) ?? ""));
  return { role, team: team?.trim(), ...(password !== "" && { password }) };
}

/** @type {Work} */
async function added() {
  const given = await ask({
    title: t("accounts.addUser"),
    text: t("accounts.addUserText"),
    yes: t("accounts.add"),
    fields: html`<label>
        ${t("accounts.user")}
        <input name="name" required spellcheck=${false} autocapitalize="none" autocomplete="off" />
      </label>
      <${Fields} role="user" team=${null} password=${t("settings.none")} />
      <label class="check"><input name="again" type="checkbox" /> <span>${t("accounts.again")}</span></label>`,
  });
  if (given === null) return null;
  const name = String(given.get("name")).trim();
  await call("POST", "users", { body: { name, ...settingsIn(given), again: given.has("again") } });
  return t("accounts.added", { name });
}

/** @param {User} user */
async function changed({ name, role, team }) {
  const title = t("accounts.changeTitle", { name });
  const fields = html`<${Fields} role=${role} team=${team} password=${t("accounts.noPassword")} />`;
  const given = await ask({ title, text: t("accounts.changeText"), yes: t("accounts.change"), fields });
  if (given === null) return null;
  await call("PATCH", `users/${encodeURIComponent(name)}`, { body: settingsIn(given) });
  return t("accounts.changed", { name });
}

/** @param {string} name */
async function removed(name) {
  const title = t("accounts.removeTitle", { name });
  const given = await ask({ title, text: t("accounts.removeText"), yes: t("accounts.remove"), isDangerous: true });
  if (given === null) return null;
  await call("DELETE", `users/${encodeURIComponent(name)}`);
  return t("accounts.removed", { name });
}
