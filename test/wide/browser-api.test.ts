/** The reference of the API in a real browser. */
import assert from "node:assert/strict";
import test from "node:test";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

test("/docs/api shows nothing before somebody has signed in, then every route, found by words", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server);
  await page.page.goto(`${server.url}/docs/api`);
  await page.locator("form button[type=submit]").waitFor();
  assert.equal(page.page.url(), `${server.url}/#/api`);
  assert.doesNotMatch((await page.page.textContent("body"))!, /predict/);
  await page.signIn(server.key);
  await page.shows("/batch_predict");
  await page.isSound("the list");
  await page.page.getByLabel("Search").fill("drain gpu");
  await page.page.getByRole("link", { name: /drain/ }).first().click();
  await page.shows("deadline_seconds");
  await page.shows(/curl -s '.*\/gpus\/.*\/drain'/);
  assert.match(page.page.url(), /#\/api\/drainGpu\?q=drain\+gpu$/);
  await page.isSound("one route");
  await page.page.reload();
  await page.shows("deadline_seconds");
  await page.page.getByLabel("Search").fill("nothing has these words");
  await page.shows("Nothing in the API has these words.");
});

test("a route has an address of its own, and fits a phone in the dark and in Turkish", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  for (const language of ["en", "tr"] as const) {
    const page = await openDashboard(browser, server, {
      key: server.key,
      place: "api/predict",
      size: PHONE,
      scheme: "dark",
      language,
    });
    await page.shows("gpu_options.strategy");
    await page.shows(language === "en" ? "In a terminal" : "Uçbirimde");
    await page.isSound(language);
    await page.page.getByText(language === "en" ? "All operations" : "Bütün işlemler").click();
    await page.shows("/batch_predict");
    await page.go("api/noSuchThing");
    await page.shows(
      language === "en" ? "The API has no operation noSuchThing." : "API'de noSuchThing adlı bir işlem yok.",
    );
    await page.isSound(language);
    await page.close();
  }
});

test("the search of /docs/ finds Turkish words in capitals, and marks them", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await browser.newPage();
  t.after(() => page.close());
  await page.goto(`${server.url}/docs/tr/api.md`);
  for (const question of ["YANIT", "YANİT", "yanıt"]) {
    await page.getByLabel("Belgelerde ara").fill(question);
    await page
      .locator("#search ol mark", { hasText: /^yanıt$/i })
      .first()
      .waitFor();
  }
});
