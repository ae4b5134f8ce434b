/** The dashboard's ground in a real browser: signing in, moving about, losing the server and finding it again. */
import assert from "node:assert/strict";
import test from "node:test";
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
