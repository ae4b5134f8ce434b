/** The report of `alt-las lab run --html`, a file in a real browser: no network, light and dark, wide and narrow. */
import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after } from "node:test";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { FINDINGS, NO_BROWSER, openBrowser, openPage, PHONE } from "../helpers/browser.ts";
import { runCommand } from "../helpers/command.ts";
import { removeFolder } from "../helpers/remove-folder.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;
const folder = mkdtempSync(join(tmpdir(), "alt-las-report-"));
after(() => removeFolder(folder));

/** A report of a trace with a name that would be a tag, and with callers. */
async function report(): Promise<string> {
  const trace = join(folder, "<b>heavy&.csv");
  const { stdout } = await runCommand(["lab", "make", "--kind", "heavy-caller", "--tasks", "800", "--seed", "7"]);
  writeFileSync(trace, stdout);
  const file = join(folder, "report.html");
  const run = await runCommand(["lab", "run", trace, "--html", file, "--strategy", "all,push-random"]);
  assert.equal(run.code, 0, run.stderr);
  return file;
}

/** How many pixels of a canvas are not empty. */
const PAINTED = (id: string): string => `(() => {
  const canvas = document.querySelector("#${id} canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let place = 3; place < data.length; place += 4) if (data[place] > 0) painted++;
  return painted / (data.length / 4);
})()`;

test(
  "a report opens from a file without a network, in light and dark, on a screen and on a phone",
  options,
  async () => {
    const file = await report();
    for (const colorScheme of ["light", "dark"] as const)
      for (const viewport of [{ width: 1280, height: 900 }, PHONE]) {
        const page = await openPage(browser, { colorScheme, viewport, offline: true });
        const faults: string[] = [];
        // A warning is about the pixels that this test reads.
        page.on("console", (message) => void (message.type() === "error" && faults.push(message.text())));
        page.on("pageerror", (error) => faults.push(String(error)));
        page.on("request", (request) => void (request.url().startsWith("file:") || faults.push(request.url())));
        await page.goto(pathToFileURL(file).href);
        await page.locator(`body[data-drawn=${colorScheme}]`).waitFor();
        assert.equal(await page.locator("h1").textContent(), "The lab: <b>heavy&.csv");
        assert.equal(await page.locator("thead th").count(), 6);
        assert.equal(await page.getByRole("rowheader", { name: "end to end p99 s" }).count(), 1);
        for (const id of ["waiting", "in-use", "shares", "lanes"])
          assert.ok((await page.evaluate<number>(PAINTED(id))) > 0.01, `${id} is drawn`);
        const before = await page.evaluate<number>(PAINTED("lanes"));
        await page.locator("#strategy").selectOption("push-random");
        assert.notEqual(await page.evaluate<number>(PAINTED("lanes")), before, "each strategy has lanes of its own");
        await page.locator("#measure").selectOption("waiting");
        // Nine callers, and the first eight have colours of their own.
        assert.equal(await page.locator("#colours span").count(), 8);
        await page.evaluate(axe.source);
        assert.deepEqual([...faults, ...(await page.evaluate<string[]>(FINDINGS))], []);
        await page.context().close();
      }
  },
);

test("the charts follow the system's colours while the page is open", options, async () => {
  const file = await report();
  const page = await openPage(browser, { colorScheme: "light", offline: true });
  await page.goto(pathToFileURL(file).href);
  await page.locator("body[data-drawn=light]").waitFor();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.locator("body[data-drawn=dark]").waitFor();
  await page.context().close();
});
