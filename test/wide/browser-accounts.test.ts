/** Users, keys and the audit log in a real browser. */
import assert from "node:assert/strict";
import test from "node:test";
import { accounts } from "../helpers/accounts.ts";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

test(
  "an admin adds a user of a team, makes it a key that is shown once, rotates and revokes it",
  options,
  async (t) => {
    const server = await startLocalServer(t, { devices: "simulated:1" });
    const page = await openDashboard(browser, server, { key: server.key, place: "accounts" });
    const { page: tab } = page;
    const dialog = tab.locator("dialog");
    await tab.getByRole("button", { name: "Add a user" }).click();
    await dialog.getByLabel("User", { exact: true }).fill("carol");
    await dialog.getByLabel("Team").fill("research");
    await page.isSound("dialog of a user");
    await dialog.getByRole("button", { name: "Add" }).click();
    await page.shows("User carol was added. Give it a key, if it has no password.");
    await tab.locator("tr", { hasText: "carol" }).getByText("research").waitFor();

    await tab.getByRole("button", { name: "Make a key" }).click();
    await dialog.getByLabel("User").selectOption("carol");
    await dialog.getByLabel("Key").fill("nightly");
    await dialog.getByLabel("read").check();
    await page.isSound("dialog of a key");
    await dialog.getByRole("button", { name: "Add" }).click();
    const first = await tab.locator(".made code").innerText();
    const me = async (key: string) =>
      fetch(new URL("/api/v1/me", server.url), { headers: { authorization: `Bearer ${key}` } });
    assert.deepEqual(((await (await me(first)).json()) as { scopes: unknown }).scopes, ["read"]);

    await tab.getByRole("button", { name: "Rotate: nightly" }).click();
    await dialog.getByLabel(/^Hours/).fill("0");
    await dialog.getByRole("button", { name: "Rotate" }).click();
    await tab.locator(".made code", { hasNotText: first }).waitFor();
    assert.equal((await me(first)).status, 401);
    await tab.getByRole("button", { name: "Revoke: nightly" }).click();
    await dialog.getByRole("button", { name: "Revoke" }).click();
    await page.shows("Key nightly was revoked.");
    assert.equal(await tab.locator(".made").count(), 0, "no key is shown any more");
    await tab.getByRole("button", { name: "Remove: carol" }).click();
    await dialog.getByRole("button", { name: "Remove" }).click();
    await page.shows("User carol was removed.");
    await page.isSound();

    await tab.getByRole("link", { name: "Audit log" }).click();
    await tab.getByRole("cell", { name: "key.rotate" }).waitFor();
    await tab.getByLabel("Action").fill("user.add");
    await tab.getByLabel("Action").press("Tab");
    await tab.getByRole("cell", { name: "key.rotate" }).waitFor({ state: "detached" });
    await tab.getByRole("cell", { name: "user.add" }).waitFor();
    const saved = tab.waitForEvent("download");
    await tab.getByRole("button", { name: "Save as CSV" }).click();
    assert.equal((await saved).suggestedFilename(), "audit.csv");
    await page.isSound();
  },
);

test("only admins have the pages, which are sound in both themes and languages, and on a phone", options, async (t) => {
  const config = accounts({ eve: "viewer", root: "admin" });
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  for (const place of ["accounts", "audit"]) {
    const eve = await openDashboard(browser, server, { key: "eve", place });
    await eve.shows("There is no such page.");
    await eve.close();
    for (const [scheme, language, size] of [
      ["light", "tr", PHONE],
      ["dark", "en", undefined],
    ] as const) {
      const page = await openDashboard(browser, server, {
        key: "root",
        place,
        scheme,
        language,
        ...(size && { size }),
      });
      await page.locator("td").first().waitFor();
      await page.isSound(`${place} ${scheme} ${language}`);
      await page.close();
    }
  }
});
