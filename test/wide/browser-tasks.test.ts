/** The dashboard's tasks in a real browser: their list and its filters, one task as it comes, and what can be done with it. */
import assert from "node:assert/strict";
import test from "node:test";
import { type LocalServer, startLocalServer } from "../helpers/local-server.ts";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

const SLOW = `
gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }
engine: { kind: simulated, simulated: { tokens_per_second: 20 } }
`;

/** One GPU with one slot, a task that runs on it, and two that wait. */
async function busyServer(t: Parameters<typeof startLocalServer>[0]) {
  const server = await startLocalServer(t, { config: SLOW, devices: "simulated:1" });
  const running = await server.predict({ text: "first <b>not bold</b>", max_length: 4000 });
  await server.predict({ text: "second", max_length: 4000 });
  const last = await server.predict({ text: "third", max_length: 4000, task_type: "summary" });
  return { server, running, last };
}

async function cancelAll(server: LocalServer): Promise<void> {
  for (const status of ["queued", "running"])
    await server.request("POST", "/api/v1/tasks/cancel", { body: { status } });
}

test("the list has tabs with counts, and its filters stand in the address", options, async (t) => {
  const { server, last } = await busyServer(t);
  const page = await openDashboard(browser, server, { key: server.key, place: "tasks" });
  await page.locator("nav.tabs a[data-status=queued] .count:text-is('2')").waitFor();
  await page.locator("nav.tabs a[data-status=queued]").click();
  await page.locator("table.tasks tbody tr").nth(1).waitFor();
  await page.locator("input[name=task_type]").fill("summary");
  await page.page.keyboard.press("Enter");
  await page.locator("nav.tabs a[data-status=''] .count:text-is('1')").waitFor();
  assert.match(page.page.url(), /#\/tasks\?status=queued&task_type=summary$/);
  assert.equal(await page.locator("table.tasks tbody tr").count(), 1);
  await page.page.reload();
  await page.locator(`a.id[title="${last.task_id}"]`).waitFor();
  await page.page.getByText("Clear the filters").click();
  await page.locator("nav.tabs a[data-status=''] .count:text-is('3')").waitFor();
  await page.locator("nav.tabs a[data-status=failed]").click();
  await page.shows("No task has this status now.");
  await page.isSound();
  await cancelAll(server);
});

test("what is no filter is refused in the server's words, and nothing is lost", options, async (t) => {
  const { server } = await busyServer(t);
  const page = await openDashboard(browser, server, { key: server.key, place: "tasks?batch_id=mine" });
  page.expect(/400/);
  await page.shows(/batch_id must be/);
  await page.go("tasks");
  await page.locator("table.tasks tbody tr").nth(2).waitFor();
  await page.isSound();
  await cancelAll(server);
});

test("a task that was pasted is found, and so are those of a batch", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const { tasks, batch_id } = await server.batch({ batch: ["Once", "Twice"], max_length: 3 });
  const page = await openDashboard(browser, server, { key: server.key, place: "tasks" });
  const search = page.page.getByRole("searchbox");
  await search.fill("bob");
  await page.page.keyboard.press("Enter");
  await page.shows("This is no id of a task or a batch.");
  await search.fill(`chatcmpl-${tasks[0]!.task_id.replaceAll("-", "")}`);
  await page.page.keyboard.press("Enter");
  await page.page.locator("h2", { hasText: tasks[0]!.task_id }).waitFor();
  await page.page.goBack();
  page.expect(/404/);
  await page.page.getByRole("searchbox").fill(batch_id!);
  await page.page.keyboard.press("Enter");
  await page.locator("table.tasks tbody tr").nth(1).waitFor();
  await page.page.waitForURL(`**/*batch_id=${batch_id}`);
  await page.isSound();
});

test("one task is shown as it comes, as text, and canceled after a question", options, async (t) => {
  const { server, running } = await busyServer(t);
  const page = await openDashboard(browser, server, { key: server.key, place: `tasks/${running.task_id}` });
  const answer = page.page.getByRole("region", { name: "Answer" }).locator(".long-text");
  await answer.waitFor();
  const before = (await answer.textContent())!.length;
  // More of it comes.
  await answer.filter({ hasText: new RegExp(`[^]{${before + 20}}`) }).waitFor();
  await page.shows("first <b>not bold</b>");
  await page.shows("has the lowest load");
  await page.page.getByRole("button", { name: "Cancel…" }).click();
  await page.page.getByRole("button", { name: "Cancel", exact: true }).click();
  assert.equal((await server.task(running.task_id)).status, "running");
  await page.page.getByRole("button", { name: "Cancel…" }).click();
  await page.page.getByRole("button", { name: "Cancel the task" }).click();
  await page.locator("header .badge:text-is('canceled')").waitFor();
  const { result } = await server.task(running.task_id);
  assert.equal(await answer.textContent(), result!.text);
  await page.isSound();
  await cancelAll(server);
});

test("a task whose worker dies is shown as it waits, and its text begins anew", options, async (t) => {
  const server = await startLocalServer(t, { config: SLOW, devices: "simulated:1" });
  const { task_id } = await server.predict({ text: "hello", max_length: 4000 });
  const page = await openDashboard(browser, server, { key: server.key, place: `tasks/${task_id}` });
  await page.page.getByRole("region", { name: "Answer" }).locator(".long-text").waitFor();
  server.signalWorker(0, "SIGKILL");
  await page.shows("the worker died");
  await page.shows("Attempt 2: the text begins anew.");
  await page.page.getByRole("region", { name: "Answer" }).locator(".long-text").waitFor();
  await page.isSound();
  await cancelAll(server);
});

test("an ended task is retried as another one, and removed after a question", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const { task_id } = await server.run({ text: "hello", max_length: 3 });
  const page = await openDashboard(browser, server, { key: server.key, place: `tasks/${task_id}` });
  await page.page.getByRole("button", { name: "Retry" }).click();
  await page.shows("Retry of");
  const retried = /[0-9a-f-]{36}$/.exec(page.page.url())![0];
  assert.notEqual(retried, task_id);
  await server.ended(retried);
  // It may just have been looked at anew when it goes.
  page.expect(/404/);
  await page.page.getByRole("button", { name: "Remove…" }).click();
  await page.page.getByRole("button", { name: "Remove it" }).click();
  await page.locator("table.tasks").waitFor();
  assert.deepEqual(Object.keys((await server.tasks()).tasks), [task_id]);
  await page.isSound();
});

test("all that is listed is canceled together, after a question", options, async (t) => {
  const { server } = await busyServer(t);
  const page = await openDashboard(browser, server, { key: server.key, place: "tasks?status=queued" });
  await page.page.getByRole("button", { name: "Cancel all 2…" }).click();
  await page.page.getByRole("button", { name: "Cancel them" }).click();
  await page.shows("2 tasks were canceled.");
  assert.equal((await server.tasks("?status=queued")).total, 0);
  await page.isSound();
  await cancelAll(server);
});

test("without a task the page says what to do", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: server.key, place: "tasks" });
  await page.shows("No task yet: try the playground.");
  await page.page.getByText("Open the playground").click();
  await page.locator("main[data-page=playground]").waitFor();
  await page.isSound();
});

/** Draws a long text, has it grow, and tells which of its blocks were touched. */
const GROW_A_LONG_TEXT = `(async () => {
  const folder = document.querySelector("script[type=module]").src.replace(/[^/]+$/, "");
  const [{ render }, { html }, { LongText }, { grown }] = await Promise.all([
    import("preact"),
    import("htm/preact"),
    import(folder + "parts/long-text.js"),
    import(folder + "parts/blocks.js"),
  ]);
  const box = document.createElement("div");
  document.querySelector("main").replaceChildren(box);
  const draw = (blocks) => render(html\`<\${LongText} blocks=\${blocks} label="text" isLive=\${true} />\`, box);
  const blocks = grown([], "A line of a long story about the sea.\\n".repeat(27_000));
  draw(blocks);
  const touched = new Set();
  const observer = new MutationObserver((changes) => {
    for (const { target } of changes) {
      const block = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
      touched.add([...block.parentElement.children].indexOf(block));
    }
  });
  observer.observe(box, { subtree: true, childList: true, characterData: true });
  const begun = performance.now();
  draw(grown(blocks, "one more word"));
  const text = box.querySelector(".long-text");
  const isAtEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 2;
  const milliseconds = performance.now() - begun;
  await new Promise(requestAnimationFrame);
  return { blocks: blocks.length, touched: [...touched], isAtEnd, milliseconds };
})()`;

test(
  "of a text of a million characters only the end is drawn when it grows, and its reader stays there",
  options,
  async (t) => {
    const server = await startLocalServer(t, { devices: "simulated:1" });
    const page = await openDashboard(browser, server, { key: server.key });
    const seen = await page.page.evaluate<{
      blocks: number;
      touched: number[];
      isAtEnd: boolean;
      milliseconds: number;
    }>(GROW_A_LONG_TEXT);
    assert.ok(seen.blocks > 400, String(seen.blocks));
    assert.deepEqual([seen.touched, seen.isAtEnd], [[seen.blocks - 1], true]);
    t.diagnostic(`the change took ${seen.milliseconds.toFixed(1)} ms`);
  },
);

test("the pages of tasks are sound in both themes and languages, and on a phone", options, async (t) => {
  const { server, running } = await busyServer(t);
  for (const [scheme, language, size] of [
    ["light", "tr", PHONE],
    ["dark", "en", PHONE],
    ["dark", "tr", undefined],
  ] as const) {
    const looks = { scheme, language, ...(size && { size }) };
    const page = await openDashboard(browser, server, { key: server.key, place: "tasks", ...looks });
    await page.locator("table.tasks tbody tr").nth(2).waitFor();
    await page.isSound(`${scheme} ${language} tasks`);
    await page.go(`tasks/${running.task_id}`);
    await page.locator(".long-text").first().waitFor();
    await page.isSound(`${scheme} ${language} one task`);
    await page.close();
  }
  await cancelAll(server);
});
