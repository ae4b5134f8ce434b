/** Users with their teams, and API keys, for admins. */
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, sentenceOf } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Copy } from "../parts/copy.js";
import { Missing, useLoaded } from "../parts/loaded.js";
import { Notice } from "../parts/notice.js";
import { KeysTable } from "./keys-table.js";
import { UsersTable } from "./users-table.js";

/** @typedef {import("../../../http/schemas/accounts.ts").UserView} User */
/** @typedef {import("../../../http/schemas/accounts.ts").KeyView} Key */
/** @typedef {import("../../../http/schemas/accounts.ts").MadeKey} MadeKey */
/** The work of a button; null: nothing was done. @typedef {() => Promise<MadeKey | string | null>} Work */

/** @returns {Promise<{ users: readonly User[], keys: readonly Key[] }>} */
async function load() {
  const [{ users }, { keys }] = await Promise.all([
    /** @type {Promise<{ users: User[] }>} */ (get("users")),
    /** @type {Promise<{ keys: Key[] }>} */ (get("keys")),
  ]);
  return { users, keys };
}

export function AccountsPage() {
  const { value, failure, reload } = useLoaded(load, []);
  const [said, setSaid] = useState(/** @type {{ kind: "good" | "bad", text: string } | null} */ (null));
  const [made, setMade] = useState(/** @type {MadeKey | null} */ (null));
  if (value === null) return html`<${Missing} failure=${failure} reload=${reload} />`;
  const run = async (/** @type {Work} */ work) => {
    try {
      const done = await work();
      if (done === null) return;
      setMade(typeof done === "string" ? null : done);
      setSaid(typeof done === "string" ? { kind: "good", text: done } : null);
      reload();
    } catch (error) {
      setSaid({ kind: "bad", text: sentenceOf(error) });
    }
  };
  return html`<div class="panels accounts">
    ${said !== null && html`<${Notice} ...${said} />`} ${made !== null && html`<${Made} made=${made} />`}
    <${UsersTable} users=${value.users} run=${run} />
    <${KeysTable} keys=${value.keys} users=${value.users} run=${run} />
  </div>`;
}

/** The only time that it can be seen. @param {{ made: MadeKey }} props */
function Made({ made: { name, key } }) {
  return html`<section class="panel made" role="status">
    <h2>${t("accounts.made", { name })}</h2>
    <p>${t("accounts.once")}</p>
    <code>${key}</code> <${Copy} text=${key} label=${name} />
  </section>`;
}
