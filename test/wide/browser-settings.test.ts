/** The dashboard's settings in a real browser: changing the configuration while the server runs, and taking it back. */
import assert from "node:assert/strict";
import test from "node:test";
import { accounts } from "../helpers/accounts.ts";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { type LocalServer, startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

interface Config {
  readonly gpu: { readonly multi_gpu: { readonly default_strategy: string; readonly strategies: readonly string[] } };
  readonly callers: { readonly users: Readonly<Record<string, { readonly max_running: number | null }>> };
}

async function configOf(server: LocalServer): Promise<Config> {
  return (await server.request<{ config: Config }>("GET", "/api/v1/config")).body.config;
}

test("settings are changed together, hold at once, and are taken back one by one", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: server.key, place: "settings" });
  await page.page.getByLabel("Strategy of requests that name none").selectOption("random");
  await page.page.getByLabel("task_specific", { exact: true }).uncheck();
  await page.locator("form.add input").fill("ada.b");
  await page.page.getByRole("button", { name: "Add" }).click();
  const ada = page.page.getByRole("region", { name: "Limits of ada.b" });
  await ada.getByLabel("Tasks that may run").fill("3");
  await page.shows("3 changes are not saved yet");
  await page.page.getByRole("button", { name: "Save" }).click();
  await page.shows("Saved. It holds from now on, and after a restart.");
  const config = await configOf(server);
  assert.equal(config.gpu.multi_gpu.default_strategy, "random");
  assert.ok(!config.gpu.multi_gpu.strategies.includes("task_specific"));
  assert.equal(config.callers.users["ada.b"]!.max_running, 3);
  await page.shows(/set by admin, .*, in the place of least_loaded/);
  await page.page
    .locator(".setting", { hasText: "Strategy of requests that name none" })
    .getByRole("button", { name: "Reset" })
    .click();
  await page.page.getByText("in the place of least_loaded").waitFor({ state: "detached" });
  assert.equal((await configOf(server)).gpu.multi_gpu.default_strategy, "least_loaded");
  await page.isSound();
});

test("wrong values are told in the server's words, nothing changes, and what was written stays", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const before = await configOf(server);
  const page = await openDashboard(browser, server, { key: server.key, place: "settings" });
  page.expect(/400/);
  await page.page.getByLabel("Tasks at once on each GPU").fill("many");
  await page.page.getByLabel("Items of a batch at most").fill("-1");
  await page.page.getByRole("button", { name: "Save" }).click();
  await page.shows(/max_concurrent_tasks_per_gpu must be an integer from 1 to 256; got "many"/);
  await page.shows(/limits\.max_batch_size must be/);
  assert.equal(await page.page.getByLabel("Tasks at once on each GPU").inputValue(), "many");
  assert.deepEqual(await configOf(server), before);
  await page.page.getByRole("button", { name: "Undo" }).click();
  assert.equal(await page.page.getByLabel("Items of a batch at most").inputValue(), "1000");
  await page.isSound();
});

test("only an admin has the page, and what needs a restart is there to be read", options, async (t) => {
  const server = await startLocalServer(t, {
    config: accounts({ eve: "viewer", root: "admin" }),
    devices: "simulated:1",
  });
  const page = await openDashboard(browser, server, { key: "eve", place: "settings" });
  await page.shows("There is no such page.");
  await page.page.getByRole("button", { name: "Sign out" }).click();
  await page.signIn("root");
  await page.page.getByText("Settings that need a restart").click();
  await page.page.locator("tr", { hasText: "server.port" }).getByText("command line").waitFor();
  await page.isSound();
});

test("the page of settings is sound in both themes and languages, and on a phone", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  for (const [scheme, language, size] of [
    ["light", "tr", PHONE],
    ["dark", "en", undefined],
  ] as const) {
    const looks = { scheme, language, ...(size && { size }) };
    const page = await openDashboard(browser, server, { key: server.key, place: "settings", ...looks });
    await page.locator(".setting").first().waitFor();
    await page.isSound(`${scheme} ${language}`);
    await page.close();
  }
});
