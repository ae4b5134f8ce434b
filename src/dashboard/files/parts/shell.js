/** The frame around every page: navigation, who is signed in, language and theme, and whether the page is live. */
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { t, tCode } from "../core/i18n.js";
import { href, place } from "../core/router.js";
import { refusal, session, signOut } from "../core/session.js";
import { PAGES } from "../pages.js";
import { Choices } from "./choices.js";
import { ConnectionBar, Unreachable } from "./connection-bar.js";
import { Dialogs } from "./dialog.js";
import { SignIn } from "./sign-in.js";

export function Shell() {
  const user = session.value;
  if (user === undefined) return refusal.value === null ? null : html`<${Unreachable} sentence=${refusal.value} />`;
  if (user === null) return html`<${SignIn} />`;
  return html`<${SignedIn} user=${user} />`;
}

/** @param {{ user: import("../core/session.js").User }} props */
function SignedIn({ user }) {
  const pages = PAGES.filter((page) => page.for.includes(user.role));
  const { page: name, rest, query } = place.value;
  const page = pages.find((one) => one.name === name) ?? (name === "" ? pages[0] : undefined);
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const title = page ? t(page.title) : t("app.noPage");
  useTitle(title, page?.name ?? "", main);
  return html`
    <button class="skip" onClick=${() => main.current?.focus()}>${t("app.skip")}</button>
    <header class="top">
      <span class="brand">ALT_LAS</span>
      <${Navigation} pages=${pages} page=${page} />
      <${Corner} user=${user} />
    </header>
    <${ConnectionBar} />
    <main tabindex="-1" ref=${main} data-page=${page?.name ?? "none"}>
      <h1 class="unseen">${title}</h1>
      ${
        page
          ? html`<${page.component} key=${page.name} rest=${rest} query=${query} />`
          : html`<p class="empty">${t("app.noPage")} <a href=${href("now")}>${t("app.toNow")}</a></p>`
      }
    </main>
    <${Dialogs} />
  `;
}

/** @typedef {import("../pages.js").Page} Page */

/** @param {{ pages: readonly Page[], page: Page | undefined }} props page: the one that is shown */
function Navigation({ pages, page }) {
  const nav = useRef(/** @type {HTMLElement | null} */ (null));
  // On a phone not all of it is seen at once.
  useEffect(() => {
    nav.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [page?.name]);
  return html`<nav aria-label=${t("app.pages")} ref=${nav}>
    ${pages.map(
      (one) => html`<a href=${href(one.name)} aria-current=${one === page ? "page" : undefined}>${t(one.title)}</a>`,
    )}
    <a href="./docs/">${t("app.docs")}</a>
  </nav>`;
}

/**
 * A reader of screens hears of a new page by its title, and goes on at its beginning. Another language is no new page.
 * @param {string} title @param {string} name @param {{ readonly current: HTMLElement | null }} main
 */
function useTitle(title, name, main) {
  const shown = useRef(/** @type {string | null} */ (null));
  useEffect(() => {
    document.title = `${title} · ALT_LAS`;
    if (shown.current !== null && shown.current !== name) main.current?.focus({ preventScroll: true });
    shown.current = name;
  }, [title, name, main]);
}

/** @param {{ user: import("../core/session.js").User }} props */
function Corner({ user }) {
  const name = t("app.signedInAs", { user: user.user, role: tCode("role", user.role) });
  return html`<div class="corner">
    <${Choices} />
    ${
      user.isProven &&
      html`<span class="who" title=${name}>${user.user}</span>
        <button class="quiet" onClick=${() => signOut()}>${t("app.signOut")}</button>`
    }
  </div>`;
}
