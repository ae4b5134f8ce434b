/** The dashboard's ground in a real browser: signing in, moving about, losing the server and finding it again. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { hashPassword } from "../../src/auth/secrets.ts";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

test(
  "a key opens the dashboard, a wrong one is refused in the server's words, and a reload stays in",
  options,
  async (t) => {
    const server = await startLocalServer(t, { devices: "simulated:2" });
    const page = await openDashboard(browser, server);
    await page.page.getByLabel("API key", { exact: true }).fill("altlas_wrong");
    await page.locator("form button[type=submit]").click();
    await page.shows("The API key is unknown or was revoked.");
    page.expect(/401/);
    await page.isSound("the sign-in");
    await page.signIn(server.key);
    await page.page.reload();
    await page.locator("header.top").waitFor();
    await page.go("gpus");
    await page.locator("tbody tr").nth(1).waitFor();
    await page.isSound();
    await page.page.getByText("Sign out").click();
    await page.locator("form").waitFor();
    assert.equal(await page.page.evaluate("sessionStorage.length"), 0);
  },
);

test("the ground is sound in both languages and themes, and on a phone", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:2" });
  for (const scheme of ["light", "dark"] as const)
    for (const language of ["en", "tr"] as const) {
      const page = await openDashboard(browser, server, { key: server.key, scheme, language, size: PHONE });
      assert.equal(await page.page.evaluate("document.documentElement.lang"), language);
      await page.locator("main[data-page=now]").waitFor();
      await page.isSound(`${scheme} ${language} now`);
      await page.close();
    }
});

test(
  "a password opens it, too; a viewer sees everything and is offered nothing that it may not do",
  options,
  async (t) => {
    const users = "[{ name: vera, role: viewer, password_hash: HASH }]".replace(
      "HASH",
      await hashPassword("open sesame 42"),
    );
    const server = await startLocalServer(t, { config: `auth: { users: ${users} }`, devices: "simulated:1" });
    const page = await openDashboard(browser, server);
    await page.page.getByRole("button", { name: "Password" }).click();
    await page.page.getByLabel("User").fill("vera");
    await page.page.getByLabel("Password", { exact: true }).fill("open sesame 42");
    await page.isSound("the sign-in with a password");
    await page.locator("form button[type=submit]").click();
    await page.locator("header.top").waitFor();
    assert.equal(await page.page.evaluate("sessionStorage.length"), 0, "a password is kept nowhere");
    await page.go("gpus/0");
    await page.locator(".one-gpu").waitFor();
    assert.equal(await page.page.getByRole("button", { name: "Drain" }).count(), 0);
    assert.equal(await page.page.getByRole("link", { name: "Playground" }).count(), 0);
    await page.isSound();
  },
);

test("a key that is revoked leads back to the sign-in, with the server's sentence", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: server.key });
  await page.locator(".lane").waitFor();
  // The server ends the stream that the key's ticket has opened.
  page.expect(/401|ERR_INCOMPLETE_CHUNKED_ENCODING/);
  const file = join(server.dataDir, "credentials.json");
  const credentials = JSON.parse(readFileSync(file, "utf8")) as { keys: unknown[] };
  writeFileSync(file, JSON.stringify({ ...credentials, keys: [] }));
  await page.shows("The API key is unknown or was revoked.");
  await page.isSound();
});

test("where nobody has to sign in, nobody is asked to", options, async (t) => {
  const server = await startLocalServer(t, { config: "auth: { enabled: false }", devices: "simulated:1" });
  const page = await openDashboard(browser, server);
  await page.locator(".lane").waitFor();
  assert.equal(await page.page.getByText("Sign out").count(), 0);
  await page.isSound();
});

test("language and theme change at once, stay chosen, and keep the focus where it was", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: server.key, size: PHONE, place: "gpus" });
  await page.page.getByLabel("Language").selectOption("tr");
  await page.page.getByRole("link", { name: "GPU'lar" }).waitFor();
  await page.page.getByLabel("Tema").focus();
  await page.page.getByLabel("Tema").selectOption("dark");
  assert.equal(await page.page.evaluate("document.activeElement.getAttribute('aria-label')"), "Tema");
  await page.page.reload();
  await page.page.getByRole("link", { name: "GPU'lar" }).waitFor();
  assert.equal(await page.page.evaluate("document.documentElement.dataset.theme"), "dark");
  await page.isSound();
});

test("the documents are sound, wide and narrow, and their search leads to a part by keyboard", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  for (const wanted of [{ scheme: "light" }, { scheme: "dark", size: PHONE }] as const) {
    const page = await openDashboard(browser, server, { key: server.key, ...wanted });
    await page.page.getByRole("link", { name: "Docs" }).click();
    await page.page.locator("search").waitFor();
    await page.page.keyboard.type("/systemd");
    await page.page.locator("search li a").first().waitFor();
    await page.isSound(`${wanted.scheme} contents with what was found`);
    await page.page.keyboard.press("ArrowDown");
    await page.page.keyboard.press("Enter");
    await page.page.waitForURL(/\/docs\/deploy\.md#systemd$/);
    await page.isSound(`${wanted.scheme} a page with tables and code`);
    await page.close();
  }
});
