/** The dashboard's models in a real browser: having them loaded, unloaded, fetched and removed, and what went wrong. */
import assert from "node:assert/strict";
import test from "node:test";
import { accounts } from "../helpers/accounts.ts";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

const TWO_MODELS = `
gpu: { devices: [{ gpu: "simulated:2", slots: 2 }] }
engine: { kind: simulated, simulated: { failures: [{ kind: load_error, gpu_id: 1 }] } }
models:
  - { name: small, aliases: [gpt-4o-mini], load: demand, keep_alive: 600, engine: { memory_bytes: 1000000000, load_seconds: 0 } }
  - { name: other/large, load: demand, engine: { memory_bytes: 2000000000, load_seconds: 0 } }
`;

test("a model is loaded and unloaded where somebody wants it, and its failure says why", options, async (t) => {
  const server = await startLocalServer(t, { config: TWO_MODELS });
  const page = await openDashboard(browser, server, { key: server.key, place: "models" });
  const model = page.page.getByRole("region", { name: "other/large" });
  await model.getByText("cold").first().waitFor();
  await model.getByRole("button", { name: "Load…", exact: true }).click();
  await page.locator("dialog select").selectOption("0");
  await page.page.getByRole("button", { name: "Load it" }).click();
  await model.getByText("ready").waitFor();
  await model
    .getByText(/1\.9 GiB/)
    .first()
    .waitFor();
  await model.getByRole("button", { name: "Load…", exact: true }).click();
  await page.locator("dialog select").selectOption("1");
  await page.page.getByRole("button", { name: "Load it" }).click();
  await model.getByText(/GPU 1:.*is set to fail/).waitFor();
  await model.getByRole("button", { name: "Unload…" }).click();
  await page.page.getByRole("button", { name: "Unload it" }).click();
  await model.getByText("cold").waitFor();
  await page.isSound();
});

test("a device's own model has no button, and one of the configuration none that removes it", options, async (t) => {
  for (const [config, name, buttons] of [
    ['gpu: { devices: ["simulated:1"] }', "simulated", []],
    [TWO_MODELS, "small", ["Load…"]],
  ] as const) {
    const server = await startLocalServer(t, { config });
    const page = await openDashboard(browser, server, { key: server.key, place: "models" });
    const model = page.page.getByRole("region", { name });
    await model.waitFor();
    assert.deepEqual(await model.getByRole("button").allTextContents(), buttons);
    await page.close();
  }
});

test("what cannot be fetched is told in the server's words", options, async (t) => {
  const server = await startLocalServer(t, { config: TWO_MODELS });
  const page = await openDashboard(browser, server, { key: server.key, place: "models" });
  page.expect(/400/);
  await page.page.getByLabel("Source", { exact: true }).fill("no such thing");
  await page.page.getByRole("button", { name: "Fetch" }).click();
  await page.page.locator(".notice.bad", { hasText: /source/ }).waitFor();
  await page.isSound();
});

test("whoever is no admin sees the models and no button", options, async (t) => {
  const server = await startLocalServer(t, { config: accounts({ bob: "user" }) + TWO_MODELS });
  const page = await openDashboard(browser, server, { key: "bob", place: "models" });
  await page.page.getByRole("region", { name: "small" }).waitFor();
  assert.deepEqual(await page.locator("main button, main form").count(), 0);
  await page.isSound();
});

test("the page of models is sound in both themes and languages, and on a phone", options, async (t) => {
  const server = await startLocalServer(t, { config: TWO_MODELS });
  await server.run({ text: "hello", max_length: 2, model: "small" });
  for (const [scheme, language, size] of [
    ["light", "tr", PHONE],
    ["dark", "en", undefined],
  ] as const) {
    const looks = { scheme, language, ...(size && { size }) };
    const page = await openDashboard(browser, server, { key: server.key, place: "models", ...looks });
    await page.page.getByRole("region", { name: "small" }).waitFor();
    await page.isSound(`${scheme} ${language}`);
    await page.close();
  }
});
