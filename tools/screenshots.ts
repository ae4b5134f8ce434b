/**
 * Takes the pictures in docs/images of a dashboard with something to see.
 *
 *     node tools/screenshots.ts [NAME…]        all of them, or those that are named
 *     node tools/screenshots.ts --serve        only serves it, for looking at while one works on it
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Dashboard, openBrowser, openDashboard, PHONE } from "../test/helpers/browser.ts";
import { demoWorld, type DemoWorld } from "../test/helpers/demo-world.ts";
import { type Owner } from "../test/helpers/server.ts";

const FOLDER = join(import.meta.dirname, "..", "docs", "images");

/** Milliseconds that the users work before the first picture, so that there is a history. */
const BEFORE = 120_000;
/** And after one GPU was drained. */
const AFTER = 25_000;

interface Picture {
  /** Of the file; what of it ends in -dark and -phone is so. */
  readonly name: string;
  /** In the dashboard, behind `#/`. */
  readonly place: string;
  readonly language?: "tr";
  /** What is done before it is taken. */
  readonly prepare?: (page: Dashboard, world: DemoWorld) => Promise<void>;
}

/** Points at a bar of the first GPU. */
async function pointAtTask({ page }: Dashboard): Promise<void> {
  const box = (await page.locator("canvas.bars").first().boundingBox())!;
  for (let x = 0.55; x < 0.95; x += 0.02) {
    await page.mouse.move(box.x + box.width * x, box.y + box.height * 0.2);
    if (await page.locator("#now-hover").isVisible()) break;
  }
  await page.locator("#now-hover dl").waitFor();
  await sleep(600);
}

/** Goes to the task that has waited longest of those that have ended. */
async function openTask(page: Dashboard, { server }: DemoWorld): Promise<void> {
  const { tasks } = await server.tasks("?status=completed&limit=50");
  const [longest] = Object.values(tasks).toSorted((one, other) => other.timing.queued - one.timing.queued);
  await page.go(`tasks/${longest!.task_id}`);
  await page.locator(".scores").waitFor();
}

/** Looks at what was used until now: the page was opened when there was nothing. */
async function readUsage(page: Dashboard): Promise<void> {
  await page.go("now");
  await page.go("usage");
  await page.locator("table tbody tr").first().waitFor();
  await sleep(600);
}

/** Has one message answered, and the next one written. */
async function talk({ page }: Dashboard): Promise<void> {
  const message = page.locator("textarea[name=prompt]");
  await page.locator("select[name=model]").selectOption("qwen3-8b");
  await message.fill("Why is the sea salty?");
  await message.press("Control+Enter");
  await page.locator("[data-answer=over]").waitFor();
  await message.fill("And why are most lakes not?");
  await page.locator(".scores").waitFor();
}

const PICTURES: readonly Picture[] = [
  { name: "now", place: "now", prepare: pointAtTask },
  { name: "now-dark", place: "now", prepare: pointAtTask },
  { name: "now-phone", place: "now" },
  { name: "now-phone-dark", place: "now", language: "tr" },
  { name: "tasks", place: "tasks" },
  { name: "task", place: "tasks", prepare: openTask },
  { name: "task-dark", place: "tasks", prepare: openTask },
  { name: "playground", place: "playground", prepare: talk },
  { name: "models", place: "models" },
  { name: "usage", place: "usage", prepare: readUsage },
  { name: "usage-dark", place: "usage", prepare: readUsage },
  { name: "settings", place: "settings" },
  { name: "settings-phone", place: "settings" },
  { name: "gpu", place: "gpus/0" },
  { name: "gpu-dark", place: "gpus/2" },
  { name: "gpu-phone", place: "gpus/2" },
];

const undo: (() => void | Promise<void>)[] = [];
const owner: Owner = { after: (what) => void undo.push(what) };
const names = process.argv.slice(2);
try {
  const world = await demoWorld(owner);
  if (names.includes("--serve")) {
    console.log(`${world.server.url}  key ${world.server.key}  ends with Ctrl-C`);
    await new Promise((resolve) => process.once("SIGINT", resolve));
  } else await takeAll(world);
} finally {
  for (const one of undo.toReversed()) await one();
}

async function takeAll(world: DemoWorld): Promise<void> {
  const browser = await openBrowser(owner);
  mkdirSync(FOLDER, { recursive: true });
  const wanted = PICTURES.filter(({ name }) => names.length === 0 || names.includes(name));
  // Opened first, as what the charts show is what a page has seen.
  const pages = [];
  for (const picture of wanted) pages.push({ picture, page: await open(picture) });
  await sleep(BEFORE);
  await world.crowd();
  await sleep(AFTER);
  for (const { picture, page } of pages) {
    await picture.prepare?.(page, world);
    const path = join(FOLDER, `${picture.name}.png`);
    await page.page.screenshot({ path });
    console.log(path);
  }

  async function open({ name, place, language }: Picture): Promise<Dashboard> {
    const isPhone = /-phone\b/.test(name);
    return openDashboard(browser, world.server, {
      key: world.server.key,
      place,
      language: language ?? "en",
      scheme: name.endsWith("-dark") ? "dark" : "light",
      size: isPhone ? PHONE : { width: 1360, height: 765 },
      pixelsPerPoint: isPhone ? 1.5 : 1,
    });
  }
}
