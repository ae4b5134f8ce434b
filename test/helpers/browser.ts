/**
 * A real browser, Debian's Chromium, on the dashboard of a real server.
 *
 *     const browser = await openBrowser(t);
 *     const server = await startLocalServer(t, { devices: "simulated:2" });
 *     const page = await openDashboard(browser, server, { key: server.key, place: "gpus" });
 *     await page.locator("text=GPU 0").click();
 *     await page.isSound();
 *
 * `isSound` fails for whatever no page may do: an error on the console, a request to another origin, a violation of the policy, an answer
 * that nobody expected, or a serious finding of axe. It runs at the end of a test, and wherever a test wants to know.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import axe from "axe-core";
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from "playwright-core";
import { type Owner } from "./server-handle.ts";

const CHROMIUM = "/usr/bin/chromium";

/** Why tests are skipped; null: they are not. */
export const NO_BROWSER = existsSync(CHROMIUM) ? null : `${CHROMIUM} is not there: apt-get install chromium`;

/** Milliseconds for anything to appear. */
const PATIENCE = 60_000;

/** Starting one takes a second: a file of tests shares one, by `openBrowser(test)` with node:test itself. */
export async function openBrowser(owner: Owner): Promise<Browser> {
  // Root may not have the sandbox.
  const args = ["--no-sandbox", "--disable-gpu"];
  const browser = await chromium.launch({ executablePath: CHROMIUM, args });
  owner.after(() => browser.close());
  // A page that stays draws and asks on, also when its server is gone.
  owner.afterEach?.(async () => void (await Promise.all(browser.contexts().map((context) => context.close()))));
  return browser;
}

/** One tab with nothing kept from any other, in which anything has the same time to appear. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  return context.newPage();
}

export interface DashboardOptions {
  /** Signs in with it; left out: the page shows the sign-in. */
  readonly key?: string;
  /** What stands behind `#/`. */
  readonly place?: string;
  readonly language?: "en" | "tr";
  readonly scheme?: "light" | "dark";
  readonly size?: { readonly width: number; readonly height: number };
  /** For pictures. */
  readonly pixelsPerPoint?: number;
}

/** The size of a small phone. */
export const PHONE = { width: 360, height: 740 };

/** One tab with a dashboard in it, and nothing kept from any other. */
export async function openDashboard(
  browser: Browser,
  server: { readonly url: string },
  options: DashboardOptions = {},
): Promise<Dashboard> {
  const page = await openPage(browser, {
    locale: options.language ?? "en",
    colorScheme: options.scheme ?? "light",
    viewport: options.size ?? { width: 1280, height: 800 },
    deviceScaleFactor: options.pixelsPerPoint ?? 1,
  });
  const dashboard = new Dashboard(page, server.url);
  await dashboard.watch();
  const { key, place = "" } = options;
  await page.goto(`${server.url}/#/${place}`);
  if (key !== undefined) await dashboard.signIn(key);
  return dashboard;
}

// What runs in the page is text here: the types of browsers are none of the server's.

const TELL_VIOLATIONS = `
  document.addEventListener("securitypolicyviolation", (event) =>
    noteViolation(event.violatedDirective + " " + event.blockedURI));
`;

/** Serious and critical findings of axe, which has to be in the page, and whether the page is wider than its window. */
export const FINDINGS = `(async () => {
  const { violations } = await axe.run();
  const findings = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => "axe " + id + ": " + node.html + " " + node.failureSummary));
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) findings.push(scrollWidth + " pixels wide, of which " + clientWidth + " are seen");
  return findings;
})()`;

export class Dashboard {
  readonly page: Page;
  /** What went wrong, a line each. */
  readonly faults: string[] = [];
  readonly #url: string;
  /** What is no fault in this test. */
  readonly #expected: RegExp[] = [];

  constructor(page: Page, url: string) {
    this.page = page;
    this.#url = url;
  }

  async watch(): Promise<void> {
    const { page } = this;
    const note = (fault: string): void => void this.faults.push(fault);
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning")
        note(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => note(`exception: ${error.stack ?? error.message}`));
    page.on("request", (request) => {
      if (!/^(?:data|blob):/.test(request.url()) && new URL(request.url()).origin !== new URL(this.#url).origin)
        note(`another origin: ${request.url()}`);
    });
    await page.exposeFunction("noteViolation", (what: string) => note(`policy: ${what}`));
    await page.addInitScript(TELL_VIOLATIONS);
  }

  /** Says that a fault is what the test wants, such as a refusal. */
  expect(fault: RegExp): void {
    this.#expected.push(fault);
  }

  locator(selector: string): Locator {
    return this.page.locator(selector);
  }

  async signIn(key: string): Promise<void> {
    await this.page
      .getByLabel("API key", { exact: true })
      .or(this.page.getByLabel("API anahtarı", { exact: true }))
      .fill(key);
    await this.page.locator("form button[type=submit]").click();
    await this.page.locator("header.top").waitFor();
  }

  /** Goes to a place by its address, as a link does. */
  async go(place: string): Promise<void> {
    await this.page.evaluate(`location.hash = ${JSON.stringify(`#/${place}`)}`);
    await this.page.locator(`main[data-page="${/^[^/?]*/.exec(place)![0] || "now"}"]`).waitFor();
  }

  /** Waits until a text is shown. */
  async shows(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).first().waitFor();
  }

  /** Fails for whatever no page may do; `as` is it in the message. */
  async isSound(as = "the page"): Promise<void> {
    const faults = this.faults.filter((fault) => !this.#expected.some((pattern) => pattern.test(fault)));
    assert.deepEqual([...faults, ...(await this.#findings())], [], `${as} is not sound`);
  }

  /** Serious and critical findings of axe, and whether the page is wider than its window. */
  async #findings(): Promise<string[]> {
    if (!(await this.page.evaluate<boolean>("typeof axe === 'object'"))) await this.page.evaluate(axe.source);
    return this.page.evaluate<string[]>(FINDINGS);
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}
