/** The dashboard's usage in a real browser: chart, table and file. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { accounts } from "../helpers/accounts.ts";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

const as = (name: string) => ({ authorization: `Bearer ${name}` });

/** A server on which two users have had tasks run. */
async function usedServer(t: Parameters<typeof startLocalServer>[0]) {
  const server = await startLocalServer(t, {
    config: accounts({ ada: "user", bob: "user", root: "admin" }),
    devices: "simulated:2",
  });
  await server.run({ text: "hello", max_length: 20 }, as("ada"));
  await server.run({ text: "hello", max_length: 5 }, as("bob"));
  await server.run({ text: "hello again", max_length: 5 }, as("bob"));
  return server;
}

test("usage is told apart as it is asked for, and saved as a file", options, async (t) => {
  const server = await usedServer(t);
  const page = await openDashboard(browser, server, { key: "root", place: "usage" });
  const row = (name: string) =>
    page.page.locator("tr", { has: page.page.getByRole("rowheader", { name, exact: true }) });
  await row("ada").waitFor();
  assert.deepEqual(await row("bob").locator("td").first().textContent(), "2");
  assert.deepEqual(await row("Total").locator("td").first().textContent(), "3");
  await page.locator(".stacked canvas").waitFor();
  await page.locator("select[name=measure]").selectOption("tasks");
  await page.page.getByRole("listitem").filter({ hasText: "bob 2" }).waitFor();
  await page.locator("select[name=by]").selectOption("model");
  await row("simulated").waitFor();
  assert.match(page.page.url(), /by=model&measure=tasks$/);
  const download = page.page.waitForEvent("download");
  await page.page.getByRole("button", { name: "Save as CSV" }).click();
  const file = await download;
  assert.match(file.suggestedFilename(), /^usage-\d{4}-\d\d-\d\d-\d{4}-\d\d-\d\d\.csv$/);
  const [head, first] = readFileSync(await file.path(), "utf8").split("\r\n");
  assert.match(head!, /^day,model,tasks,/);
  assert.match(first!, /,simulated,3,/);
  await page.isSound();
});

test("a user sees its own usage, and is not asked for whose", options, async (t) => {
  const server = await usedServer(t);
  const page = await openDashboard(browser, server, { key: "ada", place: "usage" });
  await page.page.getByRole("rowheader", { name: "simulated" }).waitFor();
  assert.equal(await page.page.getByText("bob").count(), 0);
  assert.deepEqual(await page.locator("select[name=by]").locator("option").allTextContents(), [
    "Model",
    "API key",
    "GPU",
  ]);
  await page.isSound();
});

test("times that are none are refused in the server's words; without usage the page says so", options, async (t) => {
  const server = await usedServer(t);
  const page = await openDashboard(browser, server, { key: "root", place: "usage?from=2026-01-02&to=2026-01-01" });
  page.expect(/400/);
  await page.shows(/from must be before to/);
  await page.go("usage?from=2020-01-01&to=2020-01-02");
  await page.shows("No task has ended in this time.");
  await page.isSound();
});

test("the page of usage is sound in both themes and languages, and on a phone", options, async (t) => {
  const server = await usedServer(t);
  for (const [scheme, language, size] of [
    ["light", "tr", PHONE],
    ["dark", "en", undefined],
  ] as const) {
    const looks = { scheme, language, ...(size && { size }) };
    const page = await openDashboard(browser, server, { key: "root", place: "usage", ...looks });
    await page.locator("tfoot").waitFor();
    await page.isSound(`${scheme} ${language}`);
    await page.close();
  }
});
