/** The dashboard's playground in a real browser: asking, reading along, stopping, and the same for a program. */
import assert from "node:assert/strict";
import test from "node:test";
import { accounts } from "../helpers/accounts.ts";
import { NO_BROWSER, openBrowser, openDashboard, PHONE } from "../helpers/browser.ts";
import { startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };

const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

test("a message is answered as it is read, and the next one goes on from there", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:2" });
  const page = await openDashboard(browser, server, { key: server.key, place: "playground" });
  const prompt = page.locator("textarea[name=prompt]");
  await prompt.fill("Hello");
  await page.locator("input[name=max_length]").fill("20");
  await prompt.press("Control+Enter");
  await page.locator("[data-answer=over]").waitFor();
  // Pieces that a busy browser gets all at once have no speed.
  await page.shows(/on GPU [01] · first token after .*(?: · [\d.]+ tokens\/s)? · 20 tokens/);
  assert.equal(await prompt.inputValue(), "");
  await prompt.fill("And then?");
  await page.page.getByRole("button", { name: "Send" }).click();
  await page.locator(".said").nth(3).waitFor();
  await page.locator("[data-answer=over]").waitFor();
  const [last] = Object.values((await server.tasks()).tasks);
  const { body } = await server.request<{ request: { messages: { role: string }[] } }>(
    "GET",
    `/api/v1/task/${last!.task_id}?include=text`,
  );
  assert.deepEqual(
    body.request.messages.map(({ role }) => role),
    ["user", "assistant", "user"],
  );
  await page.page.getByText("Open the task").click();
  await page.page.locator("h2", { hasText: last!.task_id }).waitFor();
  await page.page.goBack();
  await page.locator(".said").nth(3).waitFor();
  await page.page.getByRole("button", { name: "New conversation" }).click();
  await page.shows("Write a message and send it: the answer comes here as it is made.");
  await page.isSound();
});

test("an answer is stopped, and what there was of it stays", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: server.key, place: "playground" });
  await page.page.getByRole("button", { name: "Text" }).click();
  await page.locator("textarea[name=prompt]").fill("Once upon a time");
  await page.locator("input[name=max_length]").fill("20000");
  await page.page.getByRole("button", { name: "Send" }).click();
  await page.locator("[data-answer=coming] .long-text").waitFor();
  await page.page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.shows("Stopped.");
  const [task] = Object.values((await server.tasks()).tasks);
  assert.equal(task!.status, "canceled");
  assert.equal(await page.locator("[data-answer=over] .long-text").textContent(), task!.result!.text);
  await page.isSound();
});

test("the page says where a request would go and why, and why it would wait", options, async (t) => {
  const config = "gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }";
  const server = await startLocalServer(t, { config, devices: "simulated:2" });
  const page = await openDashboard(browser, server, { key: server.key, place: "playground" });
  await page.locator("textarea[name=prompt]").fill("Hello");
  await page.locator("select[name=gpu]").selectOption("1");
  await page.shows("It would run on GPU 1.");
  await page.shows("GPU 1 alone may run this task: the request named it.");
  await server.predict({ text: "busy", max_length: 20_000, gpu_options: { specific_gpu_id: 1 } });
  await page.locator("input[name=max_length]").fill("7");
  await page.shows("It would wait.");
  assert.equal((await server.tasks()).total, 1);
  await page.isSound();
  await server.request("POST", "/api/v1/tasks/cancel", { body: { status: "running" } });
});

test(
  "a request that is refused is told in the server's words, and nothing that was written is lost",
  options,
  async (t) => {
    const server = await startLocalServer(t, { devices: "simulated:1" });
    const page = await openDashboard(browser, server, { key: server.key, place: "playground" });
    await page.locator("textarea[name=prompt]").fill("Hello");
    await page.locator("input[name=temperature]").fill("2");
    page.expect(/400/);
    await page.page.getByRole("button", { name: "Send" }).click();
    await page.shows(/temperature must be/);
    assert.equal(await page.locator("textarea[name=prompt]").inputValue(), "Hello");
    await page.locator("input[name=temperature]").fill("1");
    await page.shows("It would run on GPU 0.");
    await page.isSound();
  },
);

test("a schema that is none is told at its field and not sent; an answer that was cut says so", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: server.key, place: "playground" });
  const schema = page.locator("textarea[name=schema]");
  const sending = page.page.getByRole("button", { name: "Send" });
  await page.locator("textarea[name=prompt]").fill("Hello");
  await page.locator("select[name=form]").selectOption("json_schema");
  await page.shows("Write a schema.");
  await schema.fill('{"type":');
  await page.shows(/This is no JSON: ./);
  await sending.click();
  assert.ok(await schema.evaluate((field) => field === field.ownerDocument.activeElement));
  assert.equal((await server.tasks()).total, 0);
  await page.isSound();
  await schema.fill('{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}');
  await page.locator("input[name=max_length]").fill("2");
  await sending.click();
  await page.shows("Cut at 2 tokens: “Tokens at most” gives it more.");
  await page.page.getByText("Open the task").click();
  await page.page.locator("[aria-label=response_format]", { hasText: '"required"' }).waitFor();
  await page.isSound();
});

test("what a field of the settings has chosen can be read whole", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  for (const language of ["en", "tr"] as const) {
    const page = await openDashboard(browser, server, { key: server.key, place: "playground", language });
    await page.locator(".tabs button").nth(1).click();
    await page.locator("select[name=raw]").waitFor();
    assert.deepEqual(await page.page.evaluate<string[]>(CUT), [], language);
    await page.close();
  }
});

/** The choices that are wider than their field: by its font, with room for its padding and its arrow. */
const CUT = `[...document.querySelectorAll(".settings fieldset select")].flatMap((select) => {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = getComputedStyle(select).font;
  return [...select.options]
    .map(({ text }) => ({ text, needs: Math.ceil(pen.measureText(text).width) + 40, has: select.clientWidth }))
    .filter(({ needs, has }) => needs > has)
    .map(({ text, needs, has }) => text + ": " + needs + " > " + has);
})`;

test("the code is that of the form, and after sending that of what was sent, without the key", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: server.key, place: "playground" });
  const code = page.locator(".code pre");
  await page.locator("textarea[name=prompt]").fill("it's <b>salty</b>");
  await page.shows("As it stands in the form.");
  assert.match((await code.textContent())!, /'\{"messages":\[\{"role":"user","content":"it'\\''s <b>salty<\/b>"\}\]/);
  await page.page.getByRole("button", { name: "Python, openai" }).click();
  await page.page.getByRole("button", { name: "Send" }).click();
  await page.shows("As sent.");
  const python = (await code.textContent())!;
  assert.ok(python.includes(`base_url="${server.url}/v1"`) && python.includes(`it's <b>salty</b>`), python);
  assert.ok(!python.includes(server.key));
  await page.isSound();
});

test("whoever may only watch has no playground; another user finds nothing of the one before", options, async (t) => {
  const config = accounts({ eve: "viewer", bob: "user" });
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const page = await openDashboard(browser, server, { key: "bob", place: "playground" });
  await page.locator("textarea[name=prompt]").fill("a secret");
  await page.page.getByRole("button", { name: "Send" }).click();
  await page.locator("[data-answer=over]").waitFor();
  await page.page.getByRole("button", { name: "Sign out" }).click();
  await page.signIn("eve");
  await page.shows("There is no such page.");
  assert.equal(await page.page.getByText("a secret").count(), 0);
  await page.isSound();
});

test("the playground is sound in both themes and languages, and on a phone", options, async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  for (const [scheme, language, size] of [
    ["light", "tr", PHONE],
    ["dark", "en", PHONE],
    ["dark", "tr", undefined],
  ] as const) {
    const looks = { scheme, language, ...(size && { size }) };
    const page = await openDashboard(browser, server, { key: server.key, place: "playground", ...looks });
    await page.locator("textarea[name=prompt]").fill("Hello");
    await page.locator(".input .primary").click();
    await page.locator("[data-answer=over]").waitFor();
    await page.isSound(`${scheme} ${language}`);
    await page.close();
  }
});
